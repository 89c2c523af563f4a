//! What people say: Ogg Opus samples, taken apart into packets once and shared by all meetings.

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

/// A tone of 1 kHz.
pub(crate) static TONE: LazyLock<Vec<Packet>> =
    LazyLock::new(|| packets(include_bytes!("../speech/tone.opus")));

/// A quiet room in which nobody speaks.
pub(crate) static ROOM: LazyLock<Vec<Packet>> =
    LazyLock::new(|| packets(include_bytes!("../speech/room.opus")));

/// Someone who speaks quietly.
pub(crate) static WHISPER: LazyLock<Vec<Packet>> =
    LazyLock::new(|| packets(include_bytes!("../speech/whisper.opus")));

fn packets(file: &'static [u8]) -> Vec<Packet> {
    let mut reader = ogg::PacketReader::new(Cursor::new(file));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("the samples are whole Ogg files") {
        packets.push(Arc::from(packet.data));
    }
    // The first two hold the headers.
    packets.split_off(2)
}

#[cfg(test)]
mod tests {
    use super::*;

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
