//! Tests with a meeting that always has another event, so that the loop is never idle.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use meetbot_types::{
    AutoLeave, CommandId, ControlAction, LeaveReason, Timestamp,
    bot::{Participant, RecordingRule},
};
use reqwest::Client;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::*;
use crate::{
    media::{Codec, Frame, TrackId},
    meeting::{Remainder, Source},
    recording::{Mode, orders::order as order_of},
};

/// How long the file may not grow while there is more to write: twice the guaranteed time, for a busy machine.
const PROMISED: Duration = Duration::from_secs(1);
const FRAME: Duration = Duration::from_millis(20);

/// A meeting in which Ann speaks, and each of her packets repeats without a pause.
struct Flood {
    folder: PathBuf,
    start: Instant,
    frames: u32,
    admitted: bool,
    /// The size of Ann's file when it last grew, and when that was.
    grown: (u64, Instant),
    /// The longest time that it did not grow.
    longest: Arc<Mutex<Duration>>,
    /// A frame was returned.
    began: Arc<Notify>,
}

impl Flood {
    fn look_at_file(&mut self) {
        let now = clock::now();
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let voice = files.filter(|file| file.path().extension().is_some_and(|end| end == "webm"));
        let size = voice.map(|file| file.metadata().unwrap().len()).sum();
        if size > self.grown.0 {
            self.grown = (size, now);
        }
        let mut longest = self.longest.lock().unwrap();
        *longest = (*longest).max(now - self.grown.1);
    }
}

#[async_trait]
impl Meeting for Flood {
    async fn next(&mut self) -> MeetingEvent {
        if !std::mem::replace(&mut self.admitted, true) {
            return admitted();
        }
        if clock::now() < self.start + FRAME * self.frames {
            return speaks(self.frames);
        }
        self.look_at_file();
        if self.frames == 1 {
            self.began.notify_one();
        }
        self.frames += 1;
        speaks(self.frames)
    }

    fn send_chat(&mut self, _: CommandId, _: String) {}

    fn request_permission(&mut self, _: CommandId) {}

    fn request_keyframe(&mut self, _: TrackId) {}

    async fn leave(self: Box<Self>) -> Remainder {
        Remainder::default()
    }
}

/// The packet of this number of Ann's audio.
pub(super) fn speaks(number: u32) -> MeetingEvent {
    let number = u64::from(number);
    let frame = Frame {
        track: TrackId::named("0"),
        codec: Codec::Opus,
        rtp_time: number * 960,
        clock_rate: 48_000,
        sequence: number..=number,
        arrived: clock::now(),
        level_dbov: Some(-20),
        voice: Some(true),
        contributing_sources: Vec::new(),
        rotation: None,
        keyframe: true,
        contiguous: true,
        sender_report: None,
        data: Arc::from([0x08; 60]),
    };
    MeetingEvent::Media { participant: "p1".to_owned(), source: Source::Microphone, frame }
}

/// The bot is admitted, and Ann is in the meeting.
pub(super) fn admitted() -> MeetingEvent {
    let (id, name) = ("p1".to_owned(), "Ann".to_owned());
    let ann = Participant { id, name, is_host: false, is_bot: false };
    MeetingEvent::Admitted { people: vec![ann], recording: RecordingRule::Free }
}

pub(super) fn order(folder: &Path, auto_leave: AutoLeave) -> BotOrder {
    let orchestrator_url = "http://127.0.0.1:9".to_owned();
    BotOrder { orchestrator_url, auto_leave, ..order_of(folder, 1) }
}

pub(crate) fn connect() -> Connect {
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let http = Client::builder().tls_backend_preconfigured(tls.clone()).no_proxy().build().unwrap();
    let (browsers, lateness) = (Arc::new(Semaphore::new(1)), Arc::default());
    Connect { http, tls: Arc::new(tls), orchestrator: None, browsers, lateness }
}

/// Attends the flood with these rules, on one thread; `meanwhile` gets the sender of commands, the stop token, and a signal that the bot records.
/// Returns why the bot left, whether it still recorded then, and the longest time that the file did not grow.
async fn attend_flood(
    auto_leave: AutoLeave,
    meanwhile: impl AsyncFnOnce(mpsc::Sender<Incoming>, CancellationToken, Arc<Notify>),
) -> (Option<Cause>, Mode, Duration) {
    let folder = TempDir::new().unwrap();
    let order = order(&folder.path().join("job"), auto_leave);
    let (connect, counters) = (connect(), Counters::default());
    let reporter = Reporter::start(&order, &connect, counters.clone(), &CancellationToken::new());
    let mut bot = Bot::new(&order, &connect, &reporter, counters);
    let (longest, began) = (Arc::default(), Arc::new(Notify::new()));
    let now = clock::now();
    let flood = Flood {
        folder: order.folder.join("e1"),
        start: now,
        frames: 0,
        admitted: false,
        grown: (0, now),
        longest: Arc::clone(&longest),
        began: Arc::clone(&began),
    };
    let joining =
        AbortOnDropHandle::new(tokio::spawn(async { Ok(Box::new(flood) as Box<dyn Meeting>) }));
    let (commands, given) = mpsc::channel(16);
    let mut inbox = Inbox::of(given);
    let stop = CancellationToken::new();
    let (cause, ()) = tokio::join!(
        bot.stay(joining, &mut inbox, &stop),
        meanwhile(commands, stop.clone(), began)
    );
    let longest = *longest.lock().unwrap();
    (cause, bot.recording.unwrap().mode(), longest)
}

fn leave_after(seconds: u32) -> AutoLeave {
    AutoLeave { after_max_seconds: Some(seconds), ..AutoLeave::default() }
}

#[tokio::test]
async fn media_is_flushed_to_disk_in_time_during_a_flood() {
    let (cause, mode, longest) = attend_flood(leave_after(3), async |_, _, _| ()).await;
    assert_eq!(cause, Some(Cause::Left(LeaveReason::MaxDuration)), "the rules hold too");
    assert_eq!(mode, Mode::On);
    assert!(longest <= PROMISED, "the file did not grow for {longest:?}");
}

#[tokio::test]
async fn commands_and_a_stop_are_handled_during_a_flood() {
    let (cause, mode, _) = attend_flood(leave_after(600), async |commands, stop, began| {
        began.notified().await;
        let pause = BotCommand {
            id: CommandId::generate(Timestamp::UNIX_EPOCH),
            seq: 1,
            action: ControlAction::PauseRecording,
            message: None,
        };
        commands.send(Incoming::Command(pause)).await.unwrap();
        // A pause is carried out in the same turn in which it is received.
        while commands.capacity() < commands.max_capacity() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    })
    .await;
    assert_eq!((cause, matches!(mode, Mode::Paused { .. })), (None, true));
}
