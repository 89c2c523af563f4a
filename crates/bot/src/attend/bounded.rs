//! Tests of meetings that exceed a bound: the bot leaves, and keeps its recording so far.

use std::{fs, path::Path};

use async_trait::async_trait;
use meetbot_types::{
    AutoLeave, CommandId, Failure, FailureCode, Manifest,
    bot::{Participant, RecordingRule},
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{
    flood::{admitted, connect, order, speaks},
    *,
};
use crate::{
    media::{Codec, Frame, TrackId},
    meeting::{CaptionLine, ChatLine, Remainder, Source},
    recording::{files::MANIFEST, finalize::finalize},
};

/// Gives the meeting's event of each number.
type Play = fn(u32) -> MeetingEvent;

/// A meeting in which Ann speaks for two seconds; then the events of a [`Play`] follow.
struct Scripted {
    play: Play,
    number: u32,
}

const SPOKEN: u32 = 100;

#[async_trait]
impl Meeting for Scripted {
    async fn next(&mut self) -> MeetingEvent {
        self.number += 1;
        match self.number {
            1 => admitted(),
            number if number <= SPOKEN => speaks(number),
            number => (self.play)(number),
        }
    }

    fn send_chat(&mut self, _: CommandId, _: String) {}

    fn request_permission(&mut self, _: CommandId) {}

    fn request_keyframe(&mut self, _: TrackId) {}

    async fn leave(self: Box<Self>) -> Remainder {
        Remainder::default()
    }
}

/// Attends the meeting until the bot leaves. Returns the failure, the manifest and the bytes on disk.
async fn attend_scripted(play: Play, most_bytes: Option<u64>) -> (Failure, Manifest, u64) {
    let folder = TempDir::new().unwrap();
    let never = AutoLeave { after_silence_seconds: None, ..AutoLeave::default() };
    let order = BotOrder { most_bytes, ..order(&folder.path().join("job"), never) };
    let (connect, counters) = (connect(), Counters::default());
    let reporter = Reporter::start(&order, &connect, counters.clone(), &CancellationToken::new());
    let mut bot = Bot::new(&order, &connect, &reporter, counters);
    let meeting: Box<dyn Meeting> = Box::new(Scripted { play, number: 0 });
    let joining = AbortOnDropHandle::new(tokio::spawn(async { Ok(meeting) }));
    let (_commands, given) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let cause = bot.stay(joining, &mut Inbox::of(given), &stop).await.unwrap();
    let Cause::Failed(failure) = cause.clone() else { panic!("{cause:?}") };
    bot.recording.take().unwrap().close(clock::now(), None).unwrap();
    finalize(&order, true, &stop, |has_media| cause.ending(has_media, false)).unwrap().unwrap();
    let files = order.folder.join("e1");
    let manifest = serde_json::from_slice(&fs::read(files.join(MANIFEST)).unwrap()).unwrap();
    (failure, manifest, size_of(&files))
}

fn size_of(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn person(number: u32, name: &str) -> Participant {
    let (id, name) = (format!("p{number}"), name.to_owned());
    Participant { id, name, is_host: false, is_bot: false }
}

#[tokio::test]
async fn the_bot_leaves_a_meeting_that_exceeds_a_bound_and_keeps_the_recording() {
    let plays: [(&str, &str, Play); 8] = [
        ("they all come", "more than 5000 people", |number| {
            MeetingEvent::Joined(person(number, "Guest"))
        }),
        ("they come and go", "100 times a second", |number| match number % 2 {
            0 => MeetingEvent::Joined(person(number, "Guest")),
            _ => MeetingEvent::Left(format!("p{}", number - 1)),
        }),
        ("they come before and after the bot does", "more than 5000 people", |number| {
            let people = (0..1_000).map(|one| person(number * 1_000 + one, "")).collect();
            MeetingEvent::Admitted { people, recording: RecordingRule::Free }
        }),
        ("somebody changes their name", "100 times a second", |number| {
            MeetingEvent::Joined(person(1, &number.to_string()))
        }),
        ("somebody writes", "100 times a second", |number| {
            MeetingEvent::Chat(ChatLine {
                id: number.to_string(),
                sender_id: "p1".to_owned(),
                sender: "Ann".to_owned(),
                text: "hello".to_owned(),
                private: false,
                ms_ago: 0,
            })
        }),
        ("somebody writes much", "KiB of events.jsonl", |number| {
            MeetingEvent::Caption(CaptionLine {
                speaker_id: number.to_string(),
                speaker: "Ann".to_owned(),
                began_ms_ago: 0,
                ended_ms_ago: 0,
                text: "\u{1}".repeat(4_000),
            })
        }),
        ("the host answers", "more than 100 times", |number| {
            MeetingEvent::Permission(number % 2 == 0)
        }),
        ("everyone sends", "more than 1000 streams", |number| {
            let MeetingEvent::Media { source, frame, .. } = speaks(number) else { unreachable!() };
            MeetingEvent::Media { participant: format!("p{number}"), source, frame }
        }),
    ];
    for (what, bound, play) in plays {
        let (failure, manifest, bytes) = attend_scripted(play, None).await;
        assert_eq!(failure.code, FailureCode::QuotaExceeded, "{what}: {failure}");
        assert!(failure.detail.contains(bound), "{what}: {failure}");
        assert!(!manifest.complete, "{what}");
        assert_eq!(manifest.failure_code, Some(FailureCode::QuotaExceeded), "{what}");
        let ann = manifest.tracks.iter().find(|track| track.file == "audio.Ann.webm").unwrap();
        assert!(ann.packets >= u64::from(SPOKEN) - 1, "{what}: {ann:?}");
        assert!(bytes < 50_000_000, "{what}: {bytes} bytes");
    }
}

#[tokio::test]
async fn a_job_that_exceeds_its_bytes_ends_as_on_a_full_disk() {
    let shows: Play = |number| {
        let MeetingEvent::Media { participant, frame, .. } = speaks(number) else { unreachable!() };
        let mut picture = vec![0; 10_000];
        picture[..11].copy_from_slice(&[0x10, 0, 0, 0x9D, 1, 0x2A, 0x80, 2, 0xE0, 1, 7]);
        let track = TrackId::named("1");
        let (codec, data) = (Codec::Vp8, picture.into());
        let frame = Frame { track, codec, clock_rate: 90_000, data, ..frame };
        MeetingEvent::Media { participant, source: Source::Camera, frame }
    };
    let (failure, manifest, bytes) = attend_scripted(shows, Some(500_000)).await;
    assert_eq!(failure.code, FailureCode::QuotaExceeded, "{failure}");
    assert!(failure.detail.contains("recordings.max_gigabytes_per_job"), "{failure}");
    assert!(!manifest.complete && manifest.tracks.len() == 2, "{manifest:#?}");
    assert!((500_000..2_000_000).contains(&bytes), "{bytes} bytes");
}
