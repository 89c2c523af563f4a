//! Speech samples: Ogg Opus files, split into packets once and shared by all meetings.

use std::{
    io::Cursor,
    sync::{Arc, LazyLock},
};

/// An Opus packet of 20 ms.
pub(crate) type Packet = Arc<[u8]>;

/// The packet of 20 ms of silence: full band, mono, nothing coded.
pub(crate) static SILENCE: LazyLock<Packet> = LazyLock::new(|| Arc::from([0xF8, 0xFF, 0xFE]));

/// The voices, each a list of packets.
pub(crate) static VOICES: LazyLock<[Vec<Packet>; 3]> = LazyLock::new(|| {
    [
        packets(include_bytes!("../speech/alice.opus")),
        packets(include_bytes!("../speech/bob.opus")),
        packets(include_bytes!("../speech/carol.opus")),
    ]
});

/// The level of each packet of the voices, in dBov: measured, and nowhere below that of speech.
pub(crate) static LEVELS_DBOV: LazyLock<[Vec<i8>; 3]> = LazyLock::new(|| {
    [
        levels(include_str!("../speech/alice.levels")),
        levels(include_str!("../speech/bob.levels")),
        levels(include_str!("../speech/carol.levels")),
    ]
});

/// The sentences of each voice, each with the number of its first packet in the sample. They are split in pauses of 0.27 s and more
/// (`ffmpeg -af silencedetect=noise=-45dB:d=0.12`); after Carol's first sentence the pause is 0.17 s.
static SENTENCES: [&[(usize, &str)]; 3] = [
    &[
        (0, "Good morning everyone, and thank you for coming."),
        (145, "Let us go through the plan for this week."),
        (
            261,
            "The release is nearly ready, and I would like to hear where each of you stands before we decide on a date.",
        ),
        (543, "Please be honest about the risks, we still have time."),
    ],
    &[
        (0, "Thank you, Alice."),
        (73, "The recording service runs well."),
        (187, "We measured it over the weekend, and not a single packet was lost."),
        (402, "What is left is the documentation, and one open question about storage."),
        (653, "I expect to be done by Thursday, if nothing comes in between."),
    ],
    &[
        (0, "Sorry for being late, my train stood still for half an hour."),
        (177, "From the customers I hear good things."),
        (287, "Two of them want to start next month."),
        (412, "They ask for captions, and for a shorter way to download the files."),
        (612, "I will write it down and send it around today."),
    ],
];

/// The number of packets and the words of the sentence in this turn: a voice repeats its sentences in a cycle.
pub(crate) fn sentence(voice: usize, turn: usize) -> (usize, &'static str) {
    let (packets, sentences) = (VOICES[voice].len(), SENTENCES[voice]);
    let turn = turn % sentences.len();
    let (from, words) = sentences[turn];
    let to = sentences.get(turn + 1).map_or(packets, |(next, _)| *next);
    (to - from, words)
}

/// A tone of 1 kHz.
pub(crate) static TONE: LazyLock<Vec<Packet>> =
    LazyLock::new(|| packets(include_bytes!("../speech/tone.opus")));

/// The noise of a quiet room.
pub(crate) static ROOM: LazyLock<Vec<Packet>> =
    LazyLock::new(|| packets(include_bytes!("../speech/room.opus")));

/// Quiet speech.
pub(crate) static WHISPER: LazyLock<Vec<Packet>> =
    LazyLock::new(|| packets(include_bytes!("../speech/whisper.opus")));

fn packets(file: &'static [u8]) -> Vec<Packet> {
    let mut reader = ogg::PacketReader::new(Cursor::new(file));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("the samples are whole Ogg files") {
        packets.push(Arc::from(packet.data));
    }
    // The first two contain the headers.
    packets.split_off(2)
}

fn levels(file: &str) -> Vec<i8> {
    let below = file.split_whitespace().map(str::parse::<i8>);
    below.map(|below| -below.expect("the levels are small numbers")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_a_voice_has_a_level_at_which_it_is_speech() {
        for (voice, levels) in VOICES.iter().zip(&*LEVELS_DBOV) {
            assert_eq!(levels.len(), voice.len());
            assert!(levels.iter().all(|level| (-42..=0).contains(level)), "{levels:?}");
            assert!(levels.iter().any(|level| *level > -15), "{levels:?}");
        }
    }

    #[test]
    fn the_sentences_of_a_voice_cover_its_sample_without_gaps() {
        let made = include_str!("../speech/make.sh");
        for (voice, sentences) in SENTENCES.iter().enumerate() {
            let words: Vec<&str> = sentences.iter().map(|(_, words)| *words).collect();
            let said = format!("\"{}\"\n", words.join(" "));
            assert!(made.contains(&said), "{said}");
            let lengths: usize = (0..sentences.len()).map(|turn| sentence(voice, turn).0).sum();
            assert_eq!(lengths, VOICES[voice].len());
            assert_eq!(sentence(voice, sentences.len()), sentence(voice, 0));
        }
    }

    #[test]
    fn every_voice_speaks_for_ten_seconds_in_packets_of_twenty_ms() {
        assert!(VOICES.iter().all(|voice| voice.len() > 500));
        for voice in VOICES.iter().chain([&*TONE, &*ROOM, &*WHISPER]) {
            assert!(voice.len() >= 99, "{} packets", voice.len());
            // RFC 6716, 3.1: the configurations of 20 ms, one frame a packet.
            assert!(
                voice.iter().all(|packet| matches!(
                    packet[0] >> 3,
                    1 | 5 | 9 | 13 | 15 | 19 | 23 | 27 | 31
                ) && packet[0].trailing_zeros() >= 2)
            );
        }
    }
}
