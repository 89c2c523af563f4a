//! Tests of refused joins, kicks and empty rooms.

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
use crate::orchestrator::{Fixture, TIMEOUT, ended};

fn sends(hz: u32) -> Sends {
    Sends { voice: Some(tone(hz)), ..Sends::default() }
}

fn recording(report: &BotReport) -> bool {
    matches!(report, BotReport::RecordingStarted)
}

#[tokio::test]
async fn each_refused_join_has_its_failure_code() {
    let Some(janus) = Janus::start() else { return };
    let elsewhere = |path: &str| format!("janus+ws://{}{path}", janus.address());
    for (link, code, word) in [
        (janus.link(9999, ""), FailureCode::MeetingNotFound, "no such room"),
        (elsewhere("/?room=stand-up"), FailureCode::MeetingNotFound, "room id"),
        (janus.link(PIN_ROOM, ""), FailureCode::AuthFailure, "requires a pin"),
        (janus.link(PIN_ROOM, "&pin=wrong"), FailureCode::AuthFailure, "does not accept the pin"),
    ] {
        let fixture = Fixture::start().await;
        Fixture::run(fixture.order_for(1, &link)).finish().await;
        let (ending, has_manifest) = ended(&fixture.take_reports());
        let failure = ending.failure.unwrap();
        assert_eq!((&failure.code, has_manifest), (&code, false), "{link}: {failure:?}");
        assert!(failure.detail.contains(word), "{link}: {failure:?}");
    }
}

/// A proxy whose server is unavailable: it answers each request with this status, and signals it.
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
async fn an_address_without_a_janus_server_fails_the_first_join() {
    let (link, _knocked) = answers_with("404 Not Found").await;
    let fixture = Fixture::start().await;
    Fixture::run(fixture.order_for(1, &link)).finish().await;
    let failure = ended(&fixture.take_reports()).0.failure.unwrap();
    assert_eq!(failure.code, FailureCode::MeetingNotFound, "{failure:?}");
}

#[tokio::test]
async fn a_proxy_whose_server_is_unavailable_does_not_end_a_joined_meeting() {
    for (epoch, status) in [
        (2, "404 Not Found"),
        (2, "403 Forbidden"),
        // The bot must not report an end of the meeting.
        (1, "408 Request Timeout"),
        (1, "425 Too Early"),
        (1, "429 Too Many Requests"),
    ] {
        let (link, mut knocked) = answers_with(status).await;
        let fixture = Fixture::start().await;
        let bot = Fixture::run(fixture.order_for(epoch, &link));
        for _ in 0..2 {
            let knock = tokio::time::timeout(TIMEOUT, knocked.recv()).await;
            knock.unwrap_or_else(|_| panic!("after {status} the bot tries again"));
        }
        bot.stop.cancel();
        bot.finish().await;
        let reports = fixture.take_reports();
        assert!(reports.contains(&BotReport::Reconnecting), "{status}: {reports:#?}");
        assert!(
            !reports.iter().any(|report| matches!(report, BotReport::Ended { .. })),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_room_with_the_maximum_of_publishers_still_admits_the_bot() {
    let Some(janus) = Janus::start() else { return };
    let ann = Person::join(&janus, SMALL_ROOM, "Ann", sends(440)).await;
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order_for(1, &janus.link(SMALL_ROOM, "")));
    fixture.wait_for(recording).await;
    close(&janus, SMALL_ROOM).await;
    bot.finish().await;
    ann.vanish().await;
    let (ending, _) = ended(&fixture.take_reports());
    let expected = (JobStatus::Completed, Some(LeaveReason::MeetingEnded));
    assert_eq!((ending.status, ending.leave_reason), expected);
    assert!(fixture.manifest(1).complete);
}

#[tokio::test]
async fn the_pin_admits_the_bot_and_a_kick_removes_it() {
    let Some(janus) = Janus::start() else { return };
    let ann = Person::join(&janus, PIN_ROOM, "Ann", sends(440)).await;
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order_for(1, &janus.link(PIN_ROOM, &format!("&pin={PIN}"))));
    fixture.wait_for(recording).await;
    let people = present(&janus, PIN_ROOM).await;
    let own = people.iter().find(|person| person["display"] == "meetbot").unwrap();
    kick(&janus, PIN_ROOM, &own["id"]).await;
    bot.finish().await;
    let (ending, has_manifest) = ended(&fixture.take_reports());
    assert_eq!(ending.failure.unwrap().code, FailureCode::RemovedFromMeeting);
    assert_eq!((ending.leave_reason, has_manifest), (Some(LeaveReason::Removed), true));
    assert_eq!(present(&janus, PIN_ROOM).await.len(), 1, "only Ann is there");
    ann.leave().await;
}

/// A writer that collects the log.
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
    // The subscriber is set for this thread, on which the bot's tasks run.
    let _guard = tracing::subscriber::set_default(subscriber);
    for pin in [PIN, "n0t-the-pin"] {
        let fixture = Fixture::start().await;
        let mut order = fixture.order_for(1, &janus.link(PIN_ROOM, &format!("&pin={pin}")));
        order.auto_leave.after_solo_seconds = Some(1);
        Fixture::run(order).finish().await;
        let reports = format!("{:?}", fixture.take_reports());
        assert!(reports.contains("Ended") && !reports.contains(pin), "{reports}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.len() > 1_000, "the log is captured: {log}");
    for secret in [PIN, "n0t-the-pin"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

#[tokio::test]
async fn the_bot_waits_in_an_empty_room_and_leaves_by_the_rule() {
    let Some(janus) = Janus::start() else { return };
    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, &janus.link(ROOM, ""));
    order.auto_leave.after_solo_seconds = Some(1);
    Fixture::run(order).finish().await;
    let reports = fixture.take_reports();
    assert!(reports.iter().any(|report| matches!(report, BotReport::Admitted)), "{reports:#?}");
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Solo));
    assert!(present(&janus, ROOM).await.is_empty(), "the bot is out");
}
