//! Tests that all frames of a file are attributed in the same way.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use meetbot_types::bot::Participant;

use super::tests::of_ann;
use crate::{
    clock,
    meeting::{Attribution, Source},
    recording::{
        Recording,
        files::folder_of,
        frames::{picture, sound},
        journal::{self, Line},
    },
};

/// A recording of which Ann's frames come one every 20 ms.
struct Fixture {
    recording: Recording,
    start: Instant,
    frames: u64,
}

impl Fixture {
    /// 50 packets of a participant.
    fn speaks(&mut self, participant: &str) {
        for _ in 0..50 {
            let packet = sound(self.frames, self.now());
            self.recording.frame(participant, Source::Microphone, &packet).unwrap();
            self.frames += 1;
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.frames * 20)
    }

    /// A participant joins, and leaves if it is said so.
    fn joins(&mut self, id: &str, name: &str, leaves: bool) {
        let (id, name) = (id.to_owned(), name.to_owned());
        let who = Participant { id: id.clone(), name, is_host: false, is_bot: false };
        self.recording.joined(&who, self.now()).unwrap();
        if leaves {
            self.recording.left(&id, self.now()).unwrap();
        }
    }
}

/// Records, and returns each track's person, start in ms, and attribution. Every packet is in a file.
fn recorded(folder: &Path, record: impl FnOnce(&mut Fixture)) -> Vec<(String, u64, String)> {
    let start = clock::now();
    let (order, recording) = of_ann(folder, start);
    let mut fixture = Fixture { recording, start, frames: 0 };
    record(&mut fixture);
    let (end, counters) = (fixture.now(), fixture.recording.counters.clone());
    fixture.recording.close(end, None).unwrap();
    let counters = counters.get();
    assert_eq!(counters.packets_written, counters.packets_received);
    let track = |line| match line {
        Line::Track { participant_id, at_ms, content, .. } => {
            Some((participant_id, at_ms, content.attributed_by.unwrap()))
        }
        _ => None,
    };
    journal::lines(&folder_of(&order, 1)).into_iter().filter_map(track).collect()
}

fn track(person: &str, at_ms: u64, attributed_by: &str) -> (String, u64, String) {
    (person.to_owned(), at_ms, attributed_by.to_owned())
}

#[test]
fn a_voice_that_is_attributed_in_another_way_continues_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let tracks = recorded(folder.path(), |fixture| {
        let set = |fixture: &mut Fixture, attribution| {
            fixture.recording.attribute("5".to_owned(), Source::Microphone, attribution);
        };
        fixture.speaks("5");
        set(fixture, Attribution::Played);
        fixture.speaks("5");
        set(fixture, Attribution::Played);
        fixture.speaks("5");
        let shown = picture(1, true, fixture.now());
        fixture.recording.frame("5", Source::Camera, &shown).unwrap();
        set(fixture, Attribution::Stream);
        fixture.speaks("5");
    });
    let expected = [
        track("5", 0, "stream"),
        track("5", 1_000, "played"),
        track("5", 3_000, "stream"),
        track("5", 3_000, "stream"),
    ];
    assert_eq!(tracks, expected);
}

#[test]
fn a_person_who_was_recorded_without_a_name_gets_another_file_after_returning_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let tracks = recorded(folder.path(), |fixture| {
        fixture.joins("source-7", "Unknown speaker 7", true);
        let unnamed = Attribution::Unnamed;
        fixture.recording.attribute("source-7".to_owned(), Source::Microphone, unnamed);
        fixture.speaks("source-7");
        fixture.joins("source-7", "Ben", true);
        // The name of somebody who has left: it is the same person.
        fixture.joins("9", "Ben", false);
        fixture.speaks("9");
    });
    assert_eq!(tracks, [track("source-7", 0, "unnamed"), track("source-7", 1_000, "stream")]);
}

#[test]
fn after_a_lost_connection_each_attribution_is_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    let tracks = recorded(folder.path(), |fixture| {
        let (ann, played) = ("5".to_owned(), Attribution::Played);
        fixture.recording.attribute(ann, Source::Microphone, played);
        fixture.speaks("5");
        fixture.recording.connection_lost(fixture.now()).unwrap();
        fixture.speaks("5");
    });
    assert_eq!(tracks, [track("5", 0, "played"), track("5", 1_000, "stream")]);
}
