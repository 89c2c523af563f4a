//! Tests of spans of speech: with delayed packets, and bots that crash.

use std::time::Duration;

use super::tests::{of_ann, recorded};
use crate::{
    meeting::Source,
    recording::{files::folder_of, frames::sound, journal::Line, journal_state::JournalState},
};

#[test]
fn a_crash_loses_at_most_ten_seconds_of_a_long_speech() {
    let folder = tempfile::tempdir().unwrap();
    let start = crate::clock::now();
    let (order, mut recording) = of_ann(folder.path(), start);
    for number in 0..1_500 {
        let at = start + Duration::from_millis(number * 20);
        recording.frame("5", Source::Microphone, &sound(number, at)).unwrap();
    }
    recording.flush().unwrap();
    // The bot crashes.
    let mut journal_state = JournalState::of(&folder_of(&order, 1)).unwrap();
    let spans = std::mem::take(&mut journal_state.speaking).spans(9);
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((span.participant_id.as_str(), span.start_ms), ("5", 0));
    assert!(span.end_ms >= 18_000, "{spans:?}");
    // The bot is stopped, and the next one continues.
    recording.abandon(None).unwrap();
    let mut journal_state = JournalState::of(&folder_of(&order, 1)).unwrap();
    let spans = std::mem::take(&mut journal_state.speaking).spans(9);
    assert!(matches!(spans.as_slice(), [span] if span.end_ms == 30_000), "{spans:?}");
}

#[test]
fn delayed_packets_count_as_speech_at_their_sampling_time() {
    let stalled = |number: u64| match number * 20 {
        made @ 3_000..5_600 => made.max(5_600),
        made => made,
    };
    let lines = recorded((0..500).map(stalled));
    assert!(
        !lines.iter().any(|line| matches!(line, Line::Gap { .. } | Line::TrackStart { .. })),
        "{lines:#?}"
    );
    let spoke = |line: &Line| matches!(line, Line::Speaking { start_ms: 0, end_ms: 10_000, .. });
    assert!(lines.iter().any(spoke), "{lines:#?}");
}
