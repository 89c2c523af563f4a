//! Rooms that do not let the bot in, and those that let it go.

use std::{
    io,
    sync::{Arc, Mutex},
};

use meetbot_types::{FailureCode, JobStatus, LeaveReason, bot::BotReport};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};
use xtask::janus::{Janus, PIN, PIN_ROOM, ROOM, SMALL_ROOM};

use super::{
    media::tone,
    person::{Person, Sends, close, kick, present},
};
use crate::orchestrator::{PATIENCE, Stage, ended};

fn sends(hz: u32) -> Sends {
    Sends { voice: Some(tone(hz)), ..Sends::default() }
}

fn recording(report: &BotReport) -> bool {
    matches!(report, BotReport::RecordingStarted)
}

#[tokio::test]
async fn each_closed_door_has_its_code() {
    let Some(janus) = Janus::start() else { return };
    let elsewhere = |path: &str| format!("janus+ws://{}{path}", janus.address());
    for (link, code, word) in [
        (janus.link(9999, ""), FailureCode::MeetingNotFound, "no such room"),
        (elsewhere("/?room=stand-up"), FailureCode::MeetingNotFound, "room id"),
        (janus.link(PIN_ROOM, ""), FailureCode::AuthFailure, "wants a pin"),
        (janus.link(PIN_ROOM, "&pin=wrong"), FailureCode::AuthFailure, "does not accept the pin"),
    ] {
        let stage = Stage::set().await;
        Stage::run(stage.order_for(1, &link)).ends().await;
        let (ending, has_manifest) = ended(&stage.reports());
        let failure = ending.failure.unwrap();
        assert_eq!((&failure.code, has_manifest), (&code, false), "{link}: {failure:?}");
        assert!(failure.detail.contains(word), "{link}: {failure:?}");
    }
}

/// A proxy whose server is away: it answers each knock with this status, and says so.
async fn answers_with(status: &'static str) -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = format!("janus+ws://{}/?room=7", listener.local_addr().unwrap());
    let (knocks, knocked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut bot, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(bot.read_u8().await.unwrap());
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            bot.write_all(answer.as_bytes()).await.unwrap();
            let _ = knocks.send(());
        }
    });
    (link, knocked)
}

#[tokio::test]
async fn an_address_without_a_server_of_meetings_is_none_for_a_bot_that_comes_first() {
    let (link, _knocked) = answers_with("404 Not Found").await;
    let stage = Stage::set().await;
    Stage::run(stage.order_for(1, &link)).ends().await;
    let failure = ended(&stage.reports()).0.failure.unwrap();
    assert_eq!(failure.code, FailureCode::MeetingNotFound);
    assert!(failure.detail.contains("404"), "{failure:?}");
}

#[tokio::test]
async fn a_proxy_whose_server_is_away_ends_no_meeting_that_a_bot_was_in() {
    for (epoch, status) in [
        (2, "404 Not Found"),
        (2, "403 Forbidden"),
        // Never a word about the meeting.
        (1, "408 Request Timeout"),
        (1, "425 Too Early"),
        (1, "429 Too Many Requests"),
    ] {
        let (link, mut knocked) = answers_with(status).await;
        let stage = Stage::set().await;
        let bot = Stage::run(stage.order_for(epoch, &link));
        for _ in 0..2 {
            let knock = tokio::time::timeout(PATIENCE, knocked.recv()).await;
            knock.unwrap_or_else(|_| panic!("after {status} the bot tries again"));
        }
        bot.stop.cancel();
        bot.ends().await;
        let reports = stage.reports();
        assert!(reports.contains(&BotReport::Reconnecting), "{status}: {reports:#?}");
        assert!(
            !reports.iter().any(|report| matches!(report, BotReport::Ended { .. })),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_room_that_is_full_of_senders_still_lets_the_bot_listen() {
    let Some(janus) = Janus::start() else { return };
    let ann = Person::join(&janus, SMALL_ROOM, "Ann", sends(440)).await;
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order_for(1, &janus.link(SMALL_ROOM, "")));
    stage.hears(recording).await;
    close(&janus, SMALL_ROOM).await;
    bot.ends().await;
    ann.vanish().await;
    let (ending, _) = ended(&stage.reports());
    let expected = (JobStatus::Completed, Some(LeaveReason::MeetingEnded));
    assert_eq!((ending.status, ending.leave_reason), expected);
    assert!(stage.manifest(1).complete);
}

#[tokio::test]
async fn the_pin_lets_in_and_a_kick_takes_out() {
    let Some(janus) = Janus::start() else { return };
    let ann = Person::join(&janus, PIN_ROOM, "Ann", sends(440)).await;
    let stage = Stage::set().await;
    let bot = Stage::run(stage.order_for(1, &janus.link(PIN_ROOM, &format!("&pin={PIN}"))));
    stage.hears(recording).await;
    let people = present(&janus, PIN_ROOM).await;
    let own = people.iter().find(|person| person["display"] == "meetbot").unwrap();
    kick(&janus, PIN_ROOM, &own["id"]).await;
    bot.ends().await;
    let (ending, has_manifest) = ended(&stage.reports());
    assert_eq!(ending.failure.unwrap().code, FailureCode::RemovedFromMeeting);
    assert_eq!((ending.leave_reason, has_manifest), (Some(LeaveReason::Removed), true));
    assert_eq!(present(&janus, PIN_ROOM).await.len(), 1, "only Ann is there");
    ann.leave().await;
}

/// What is logged, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_pin_is_in_no_log_and_in_no_report() {
    let Some(janus) = Janus::start() else { return };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // The bot's tasks run on this thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    for pin in [PIN, "n0t-the-pin"] {
        let stage = Stage::set().await;
        let mut order = stage.order_for(1, &janus.link(PIN_ROOM, &format!("&pin={pin}")));
        order.auto_leave.after_solo_seconds = Some(1);
        Stage::run(order).ends().await;
        let reports = format!("{:?}", stage.reports());
        assert!(reports.contains("Ended") && !reports.contains(pin), "{reports}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.len() > 1_000, "the log is heard: {log}");
    for secret in [PIN, "n0t-the-pin"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

#[tokio::test]
async fn an_empty_room_is_waited_in_and_left_by_the_rule() {
    let Some(janus) = Janus::start() else { return };
    let stage = Stage::set().await;
    let mut order = stage.order_for(1, &janus.link(ROOM, ""));
    order.auto_leave.after_solo_seconds = Some(1);
    Stage::run(order).ends().await;
    let reports = stage.reports();
    assert!(reports.iter().any(|report| matches!(report, BotReport::Admitted)), "{reports:#?}");
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Solo));
    assert!(present(&janus, ROOM).await.is_empty(), "the bot is out");
}
