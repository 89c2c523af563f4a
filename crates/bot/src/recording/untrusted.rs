//! Checks on the parsers of media from senders and of files of crashed bots: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![expect(clippy::unwrap_used, reason = "a failed check panics at its line")]
#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use std::time::{Duration, SystemTime};

use meetbot_types::bot::MediaKind;

use super::{
    journal::Line,
    journal_state::JournalState,
    opus, scan,
    stream_clock::{Seen, StreamClock, Verdict},
};
use crate::media::{Codec, SenderReport};

/// A picture: only one with a size gives a file's header, and stored H.264 consists of complete units.
pub fn picture(bytes: &[u8]) {
    if let Some(start) = super::picture::start(Codec::Vp8, bytes) {
        assert!(start.width > 0 && start.height > 0 && start.private.is_empty());
    }
    if let Some(start) = super::picture::start(Codec::H264, bytes) {
        assert!(start.private.len() > 8);
    }
    let stored = super::picture::stored(Codec::H264, bytes);
    let mut rest = stored.as_slice();
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        assert!(length > 0);
        rest = &more[length..];
    }
    assert!(rest.is_empty());
}

/// A packet of Opus: none lasts longer than 120 ms (RFC 6716).
pub fn voice(packet: &[u8]) {
    assert!(opus::ticks(packet).is_none_or(|ticks| ticks <= 120 * opus::TICKS_PER_MS));
}

/// The packets of a stream with arbitrary sequence numbers, RTP times, Sender Reports and arrivals: none is placed after its arrival, so
/// that no sender makes a file longer than the meeting.
pub fn timeline(bytes: &[u8]) {
    let mut clock = StreamClock::new(48_000, true);
    let (mut sequence, mut rtp_time, mut at_ms, mut held) = (0_u64, 0_u64, 0_u64, Vec::new());
    for [number, ticks, passes, lasts, reported] in bytes.as_chunks::<5>().0 {
        sequence = sequence.wrapping_add(match number {
            0..200 => 1,
            200..240 => u64::from(number - 200),
            _ => u64::MAX / u64::from(256 - u16::from(*number)),
        });
        rtp_time = rtp_time.wrapping_add(match ticks {
            0..200 => u64::from(ticks % 4 + 1) * 480,
            200..240 => u64::from(ticks - 200) * 48_000,
            _ => u64::MAX / u64::from(256 - u16::from(*ticks)),
        });
        at_ms += if *passes < 250 { u64::from(passes % 50) } else { 3_000 };
        let ntp = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::from(*reported) << 12);
        let report = SenderReport { ntp, rtp_time: rtp_time.wrapping_add(u64::from(*reported)) };
        let seen = Seen {
            sequence: sequence..=sequence,
            rtp_time,
            lasts: u64::from(lasts % 49) * 120,
            at_ms,
            report: (*reported > 200).then_some(report),
        };
        let Some(placement) = clock.observe_packet(&seen) else { continue };
        held.push((placement.place, i64::try_from(at_ms).unwrap()));
        assert!(held.len() <= 1_501 && placement.lost <= 1 << 16);
        if let Verdict::Move(ticks) = placement.verdict {
            for (place, at_ms) in held.drain(..) {
                let place = (place + ticks + clock.base()) / 48;
                assert!(place <= at_ms + 6, "{place} at {at_ms}");
            }
        }
    }
}

/// A media file of a crashed bot: its valid part gives the same result when it is read again.
pub fn recording(bytes: &[u8]) {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let found = scan::scan(&mut &*bytes, &kind).unwrap();
        let whole = usize::try_from(found.whole).unwrap();
        let again = scan::scan(&mut &bytes[..whole], &kind).unwrap();
        assert_eq!((again.whole, again.packets), (found.whole, found.packets));
        assert_eq!(again.duration_ms, found.duration_ms);
    }
}

/// A journal of a crashed bot.
pub fn journal(text: &str) {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut state = JournalState::read(lines);
    state.finish(state.last_ms);
    let spans = state.speaking.spans(3);
    assert!(spans.iter().all(|span| span.start_ms < span.end_ms));
    assert!(spans.is_sorted_by_key(|span| span.start_ms));
}

#[cfg(test)]
mod tests {
    use xtask::hostile_inputs;

    use super::*;
    use crate::recording::webm::{self, Blocks, KEYFRAME};

    #[test]
    fn hostile_media_are_read_or_refused() {
        let vp8 = [0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x42, 0xE0, 0x01, 7];
        let sps = b"\0\0\0\x01\x67\x42\xC0\x1F\xD9\0\xA0\x2F\xF9\x70\x11\0\0\x03\0\x01\0\0\x03\0\x32\x0F\x18\x32\x48";
        let h264 = [&sps[..], b"\0\0\0\x01\x68\xCB\x8C\xB2\0\0\x01\x65\x88\x84"].concat();
        hostile_inputs::feed_bytes(&[&vp8, &h264, sps], picture);
        hostile_inputs::feed_bytes(&[&[0xFC, 0xFF, 0xFE], &[0xFB, 3], &[0x1B, 0x83]], voice);
    }

    #[test]
    fn hostile_files_of_a_crashed_bot_are_read_up_to_the_first_damage() {
        let mut file = webm::opus_header();
        let mut blocks = Blocks::default();
        for number in 0..20 {
            blocks.push(&mut file, number * 400, KEYFRAME, &[0x08; 60]);
        }
        hostile_inputs::feed_bytes(&[&file, &file[..200]], recording);
        let lines = [
            r#"{"type":"started","attempt":1,"atMs":0,"startedAt":"2026-05-15T14:00:00Z"}"#,
            r#"{"type":"participant_joined","atMs":18446744073709551615,"participant":{"id":"a","name":"A","isHost":false,"isBot":false}}"#,
            r#"{"type":"participant_changed","atMs":6,"participant":{"id":"a","name":"B","isHost":true,"isBot":false}}"#,
            r#"{"type":"track","attempt":1,"atMs":5,"file":"audio.A.webm","participantId":"a"}"#,
            r#"{"type":"gap","file":"audio.A.webm","startMs":5,"endMs":18446744073709551615,"reason":"muted","lost":18446744073709551615}"#,
            r#"{"type":"speaking","id":"a","startMs":9,"endMs":7}"#,
            r#"{"type":"paused","atMs":9}"#,
            r#"{"type":"resumed","atMs":7}"#,
            r#"{"type":"connection_lost","atMs":8}"#,
            r#"{"type":"left","attempt":1,"atMs":3,"reason":"meeting_ended"}"#,
        ];
        let all = lines.join("\n");
        let corpus: Vec<&str> = lines.into_iter().chain([all.as_str()]).collect();
        hostile_inputs::feed(&corpus, journal);
    }
}
