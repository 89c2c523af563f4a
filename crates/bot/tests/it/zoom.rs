//! Tests of a whole bot with a fake Zoom: recordings of Realtime Media Streams, and their ends.

use std::{fs, io::Cursor, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use meetbot_testkit::zoom::{SIGNALLING, Step, Stream, Zoom};
use meetbot_types::{
    AutoLeave, ControlAction, ControlState, FailureCode, JobStatus, Manifest,
    bot::{
        BotOrder, BotReport, Caption, ChatMessage, Lobby, Secret, ZoomApp, ZoomStream,
        ZoomStreamState,
    },
};
use rustls::RootCertStore;
use serde_json::{Value, json};
use xtask::ffmpeg::tones_db;

use crate::orchestrator::{Fixture, command, ended, now};

pub(crate) const SOUND: u64 = 1;
pub(crate) const SHARE: u64 = 4;
pub(crate) const TRANSCRIPT: u64 = 8;
pub(crate) const CHAT: u64 = 16;
/// A meeting's UUID in Zoom's format.
const MEETING: &str = "4444AAAiAAAAAiAiAiiAii/+==";

fn stream() -> Stream {
    Stream {
        client_id: "client".to_owned(),
        client_secret: "of the app".to_owned(),
        meeting_uuid: MEETING.to_owned(),
        stream_id: "stream-1".to_owned(),
    }
}

pub(crate) async fn zoom() -> (Zoom, Fixture) {
    (Zoom::start(stream()).await.unwrap(), Fixture::start().await)
}

pub(crate) fn order(fixture: &Fixture) -> BotOrder {
    let app = ZoomApp {
        name: "notes".to_owned(),
        client_id: "client".to_owned(),
        client_secret: Secret::new("of the app"),
        hosts: vec!["localhost".to_owned()],
        video: false,
    };
    BotOrder { zoom: Some(app), ..fixture.order_for(1, "https://zoom.us/j/91234567890") }
}

pub(crate) fn started(zoom: &Zoom, version: u64) -> ZoomStream {
    ZoomStream {
        version,
        meeting_uuid: MEETING.to_owned(),
        stream_id: "stream-1".to_owned(),
        server_urls: vec![zoom.url()],
        state: ZoomStreamState::Started,
        stop_reason: None,
    }
}

pub(crate) fn run(zoom: &Zoom, order: BotOrder) -> crate::orchestrator::Running {
    let mut roots = RootCertStore::empty();
    roots.add(zoom.certificate().clone()).unwrap();
    Fixture::run_trusting(order, roots)
}

/// Two seconds of a tone, as packets of Opus of 20 ms.
pub(crate) fn tone(folder: &Path, hz: u32) -> Vec<Vec<u8>> {
    let file = folder.join(format!("{hz}.opus"));
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg(format!("sine=frequency={hz}:duration=2"))
        .args(["-c:a", "libopus", "-ar", "48000", "-ac", "1", "-b:a", "32k"])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    let mut packets = ogg::PacketReader::new(Cursor::new(fs::read(file).unwrap()));
    let packets = std::iter::from_fn(|| packets.read_packet().unwrap());
    // The first two contain the headers.
    packets.skip(2).map(|packet| packet.data).collect()
}

/// The first keyframe of a video, with its parameter sets.
pub(crate) fn keyframe(folder: &Path) -> Vec<u8> {
    let file = folder.join("screen.h264");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=10"])
        .args(["-frames:v", "1", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-f", "h264"])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    fs::read(file).unwrap()
}

pub(crate) fn media(msg_type: u64, id: i64, name: &str, data: &[u8], at_ms: i64) -> Value {
    json!({"msg_type": msg_type, "content": {
        "user_id": id, "user_name": name, "data": STANDARD.encode(data), "timestamp": at_ms,
    }})
}

pub(crate) fn text(msg_type: u64, id: i64, name: &str, text: &str, at_ms: i64) -> Value {
    json!({"msg_type": msg_type, "content": {
        "user_id": id, "user_name": name, "data": text, "timestamp": at_ms,
        "start_time": at_ms - 500, "end_time": at_ms,
    }})
}

/// The simultaneous tones of these people, from `from_ms` on.
pub(crate) fn speak(people: &[(i64, &str, &[Vec<u8>])], from_ms: i64) -> Vec<Step> {
    let longest = people.iter().map(|(_, _, packets)| packets.len()).max().unwrap();
    let mut steps = Vec::new();
    for number in 0..longest {
        let at_ms = from_ms + i64::try_from(number).unwrap() * 20;
        for (id, name, packets) in people {
            if let Some(packet) = packets.get(number) {
                steps.push(Step::Say(SOUND, media(14, *id, name, packet, at_ms)));
            }
        }
    }
    steps
}

/// The stream stops for this reason.
pub(crate) fn stops(reason: u64) -> Vec<Step> {
    vec![
        Step::Say(SIGNALLING, json!({"msg_type": 9, "state": 5, "stop_reason": reason})),
        Step::Say(SIGNALLING, json!({"msg_type": 8, "state": 4, "reason": reason})),
    ]
}

#[tokio::test]
async fn three_people_speak_one_shares_and_one_writes() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let tones = [400, 900, 1_700];
    let voices = tones.map(|hz| tone(folder.path(), hz));
    let bot = run(&zoom, order(&fixture));
    let waits =
        |report: &BotReport| matches!(report, BotReport::Waiting { lobby: Lobby::WaitingForHost });
    fixture.wait_for(waits).await;
    fixture.zoom_stream(started(&zoom, 1));
    // Everything was sent before the bot joined: the server replays it.
    let from_ms = now().as_millis() - 4_000;
    let people = [(101, "Ada", &voices[0][..]), (102, "Bea", &voices[1]), (103, "Cid", &voices[2])];
    let joined = json!({"msg_type": 6, "event": {"event_type": 3, "participants": [
        {"user_id": 101, "user_name": "Ada"}, {"user_id": 102, "user_name": "Bea"},
        {"user_id": 103, "user_name": "Cid"}, {"user_id": 104, "user_name": "Dan"},
    ]}});
    zoom.play([
        Step::Say(SIGNALLING, json!({"msg_type": 12, "timestamp": 77})),
        Step::Say(SIGNALLING, joined),
        Step::Say(SIGNALLING, json!({"msg_type": 99, "new": []})),
    ])
    .await;
    zoom.play(speak(&people, from_ms)).await;
    zoom.play([
        Step::Say(SHARE, media(16, 102, "Bea", &keyframe(folder.path()), from_ms + 100)),
        Step::Say(TRANSCRIPT, text(17, 103, "Cid", "Good morning", from_ms + 900)),
        Step::Say(CHAT, text(18, 101, "Ada", "hello", from_ms + 1_000)),
    ])
    .await;
    zoom.receives(|line, word| {
        line == SIGNALLING && word["msg_type"] == 13 && word["timestamp"] == 77
    })
    .await;
    zoom.has_sent_all(&[SOUND, SHARE, TRANSCRIPT, CHAT]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;

    let (ending, _) = ended(&fixture.take_reports());
    assert_eq!(ending.status, JobStatus::Completed, "{ending:?}");
    assert_eq!(zoom.faults(), Vec::<String>::new());
    let manifest = fixture.manifest(1);
    let names: Vec<_> = manifest.participants.iter().map(|person| person.name.as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for (place, (id, name, packets)) in people.iter().enumerate() {
        let id = id.to_string();
        let track = manifest
            .tracks
            .iter()
            .find(|track| track.participant_id == id && track.source == "microphone")
            .unwrap();
        let sent = packets.len() as u64;
        assert!(track.packets * 100 >= sent * 99, "{name}: {} of {sent}", track.packets);
        assert!(track.start_ms <= 40, "{name} begins with the recording: {track:?}");
        let heard = tones_db(&fixture.folder(1).join(&track.file), &tones.map(f64::from));
        for (other, level) in heard.iter().enumerate().filter(|(other, _)| *other != place) {
            assert!(heard[place] - level > 40.0, "{name}, tone {other}: {heard:?}");
        }
    }
    let shared = manifest.tracks.iter().find(|track| track.source == "screen").unwrap();
    assert_eq!(shared.participant_id, "102");
    let lines =
        |name: Option<String>| fs::read_to_string(fixture.folder(1).join(name.unwrap())).unwrap();
    let chat: ChatMessage = serde_json::from_str(lines(manifest.chat).trim()).unwrap();
    assert_eq!((chat.sender.as_str(), chat.text.as_str()), ("Ada", "hello"));
    let caption: Caption = serde_json::from_str(lines(manifest.captions).trim()).unwrap();
    assert_eq!((caption.speaker.as_str(), caption.text.as_str()), ("Cid", "Good morning"));
}

#[tokio::test]
async fn closed_sockets_and_a_restarted_stream_lose_and_duplicate_nothing() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    let from_ms = now().as_millis() - 4_000;
    let mut steps = speak(&[(101, "Ada", &voice)], from_ms).into_iter();
    for cut in [SOUND, SIGNALLING, SOUND] {
        zoom.play(steps.by_ref().take(25)).await;
        zoom.play([Step::Cut(cut)]).await;
    }
    // The stream restarts on another server: both connections are reopened.
    zoom.play(steps.by_ref().take(10)).await;
    zoom.connects(SIGNALLING, 2).await;
    fixture.zoom_stream(started(&zoom, 2));
    zoom.connects(SIGNALLING, 3).await;
    zoom.play(steps).await;
    zoom.play([Step::Say(CHAT, text(18, 101, "Ada", "that was all", from_ms + 2_000))]).await;
    zoom.has_sent_all(&[SOUND, CHAT]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;
    let reports = fixture.take_reports();
    assert_eq!(ended(&reports).0.status, JobStatus::Completed);
    let admitted = reports.iter().filter(|report| matches!(report, BotReport::Admitted)).count();
    let lost = reports.iter().any(|report| matches!(report, BotReport::Reconnecting));
    assert!(admitted == 1 && !lost, "{reports:#?}");
    let manifest = fixture.manifest(1);
    let track = &manifest.tracks[0];
    assert_eq!(track.packets, voice.len() as u64, "{track:?}");
    assert!(track.duration_ms.abs_diff(voice.len() as u64 * 20) <= 20, "{track:?}");
    assert_eq!(zoom.faults(), Vec::<String>::new());
}

/// How many packets of a person are in files, over all attempts.
pub(crate) fn packets(manifest: &Manifest, id: &str) -> u64 {
    let tracks = manifest.tracks.iter().filter(|track| track.participant_id == id);
    tracks.map(|track| track.packets).sum()
}

/// Asserts that the tracks of a person have no gap between them.
fn is_unbroken(manifest: &Manifest, id: &str) {
    let tracks = manifest.tracks.iter().filter(|track| track.participant_id == id);
    let mut spans: Vec<_> = tracks.map(|it| (it.start_ms, it.start_ms + it.duration_ms)).collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        assert!(pair[1].0.abs_diff(pair[0].1) <= 3, "{id}: {spans:?}");
    }
}

#[tokio::test]
async fn media_from_before_during_and_after_a_crash_are_recorded_once() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    let people = |from: usize, to: usize| [(101, "Ada", from, to), (102, "Bea", from, to.min(60))];
    let from_ms = now().as_millis() - 5_000;
    let said = |from: usize, to: usize| {
        let mut steps = Vec::new();
        for (id, name, from, to) in people(from, to) {
            for (number, packet) in voice.iter().enumerate().take(to).skip(from) {
                let at_ms = from_ms + 20 * i64::try_from(number).unwrap();
                steps.push((at_ms, media(14, id, name, packet, at_ms)));
            }
        }
        steps.sort_by_key(|(at_ms, _)| *at_ms);
        steps.into_iter().map(|(_, word)| word).collect::<Vec<_>>()
    };
    let wrote = |number: i64| text(18, 101, "Ada", &format!("line {number}"), from_ms + number);
    let line = |text: &'static str| move |report: &BotReport| matches!(report, BotReport::Chat { message } if message.text == text);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    // The first bot's files may miss the last half second; both bots together have everything.
    zoom.play([Step::Say(CHAT, wrote(10))]).await;
    zoom.play(said(0, 50).into_iter().map(|word| Step::Say(SOUND, word))).await;
    zoom.play([Step::Say(TRANSCRIPT, text(17, 102, "Bea", "good", from_ms + 900))]).await;
    fixture.wait_for(line("line 10")).await;
    zoom.play([Step::Say(CHAT, wrote(20))]).await;
    fixture.wait_for(line("line 20")).await;
    bot.crash().await;
    zoom.play(said(50, 80).into_iter().map(|word| Step::Keep(SOUND, word))).await;
    zoom.play([Step::Keep(CHAT, wrote(1_200))]).await;
    fixture.take_reports();
    let bot = run(&zoom, BotOrder { epoch: 2, ..order(&fixture) });
    zoom.connects(SIGNALLING, 2).await;
    zoom.play(said(80, 100).into_iter().map(|word| Step::Say(SOUND, word))).await;
    zoom.play([Step::Say(CHAT, wrote(2_000))]).await;
    zoom.has_sent_all(&[SOUND, TRANSCRIPT, CHAT]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;
    let manifest = fixture.manifest(2);
    assert_eq!((packets(&manifest, "101"), packets(&manifest, "102")), (100, 60), "{manifest:#?}");
    is_unbroken(&manifest, "101");
    let gap = manifest.attempts[1].gap_ms.unwrap();
    assert!(gap <= 20, "everything was replayed: {:#?}", manifest.attempts);
    let lines = |name: &Option<String>| {
        let text = fs::read_to_string(fixture.folder(2).join(name.as_ref().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let written: Vec<_> = lines(&manifest.chat).iter().map(|it| it["text"].clone()).collect();
    // Media that were not on disk at the crash are replayed.
    assert_eq!(written, ["line 10", "line 20", "line 1200", "line 2000"]);
    assert_eq!(lines(&manifest.captions).len(), 1);
    let at: Vec<_> = lines(&manifest.chat).iter().map(|it| it["atMs"].as_i64().unwrap()).collect();
    for (at_ms, wrote_ms) in at.iter().zip([10, 20, 1_200, 2_000]) {
        assert!(at_ms.abs_diff(wrote_ms) <= 5, "{at:?}");
    }
    assert_eq!(zoom.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn media_replayed_to_a_rejoined_bot_are_recorded_once() {
    rejoins(false).await;
}

#[tokio::test]
async fn a_bot_that_joined_before_the_first_audio_and_rejoins_loses_none_of_it() {
    rejoins(true).await;
}

/// A bot joins, loses the connection while a person speaks, and rejoins. `in_first`: the audio begins after the admission, and arrives in a burst, so that
/// timestamps and arrivals diverge.
async fn rejoins(in_first: bool) {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    if in_first {
        fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    }
    let mut steps = speak(&[(101, "Ada", &voice)], now().as_millis() - 5_000).into_iter();
    zoom.play(steps.by_ref().take(50)).await;
    zoom.play([Step::Say(CHAT, text(18, 101, "Ada", "hello", now().as_millis()))]).await;
    fixture.wait_for(|report| matches!(report, BotReport::Chat { .. })).await;
    // Zoom does not know the stream for a moment: the connection to the meeting is lost, and the bot rejoins.
    zoom.refuse(SIGNALLING, &[40]);
    zoom.play([Step::Cut(SIGNALLING)]).await;
    fixture.wait_for(|report| matches!(report, BotReport::Reconnecting)).await;
    zoom.connects(SIGNALLING, 2).await;
    zoom.play(steps).await;
    zoom.play([Step::Say(CHAT, text(18, 101, "Ada", "bye", now().as_millis()))]).await;
    zoom.has_sent_all(&[SOUND, CHAT]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;
    let reports = fixture.take_reports();
    let chats = reports.iter().filter(|report| matches!(report, BotReport::Chat { .. })).count();
    let manifest = fixture.manifest(1);
    assert_eq!((packets(&manifest, "101"), chats), (voice.len() as u64, 2), "{manifest:#?}");
}

#[tokio::test]
async fn a_picture_or_line_before_the_first_audio_does_not_truncate_it() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    let from_ms = now().as_millis() - 6_000;
    zoom.play([Step::Keep(CHAT, text(18, 101, "Ada", "hello", from_ms + 3_000))]).await;
    zoom.hold(SOUND);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    zoom.connects(CHAT, 1).await;
    zoom.play(speak(&[(101, "Ada", &voice)], from_ms).into_iter().map(|step| match step {
        Step::Say(line, word) => Step::Keep(line, word),
        step => step,
    }))
    .await;
    zoom.release(SOUND);
    zoom.has_sent_all(&[SOUND, CHAT]).await;
    zoom.play(stops(6)).await;
    bot.finish().await;
    assert_eq!(packets(&fixture.manifest(1), "101"), voice.len() as u64);
}

#[tokio::test]
async fn each_stop_reason_of_a_stream_gives_its_ending() {
    use FailureCode::{AuthFailure, RecordingDisabled, RemovedFromMeeting};
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    for (reason, failure) in [
        (1, Some(RemovedFromMeeting)),
        (4, Some(RemovedFromMeeting)),
        (5, Some(RemovedFromMeeting)),
        (6, None),
        (9, Some(RecordingDisabled)),
        (18, Some(AuthFailure)),
        (23, Some(RecordingDisabled)),
    ] {
        let (zoom, fixture) = zoom().await;
        fixture.zoom_stream(started(&zoom, 1));
        let bot = run(&zoom, order(&fixture));
        zoom.play(speak(&[(101, "Ada", &voice)], now().as_millis() - 3_000)).await;
        zoom.has_sent_all(&[SOUND]).await;
        zoom.play(stops(reason)).await;
        bot.finish().await;
        let (ending, has_manifest) = ended(&fixture.take_reports());
        let code = ending.failure.as_ref().map(|failure| failure.code.clone());
        assert_eq!((code, has_manifest), (failure, true), "{reason}: {ending:?}");
        assert_eq!(fixture.manifest(1).tracks[0].packets, voice.len() as u64, "{reason}");
    }
}

#[tokio::test]
async fn withdrawn_consent_deletes_the_recording() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    let voice = tone(folder.path(), 400);
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    zoom.play(speak(&[(101, "Ada", &voice)], now().as_millis() - 3_000)).await;
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    assert!(fixture.folder(1).exists());
    zoom.play(stops(8)).await;
    bot.finish().await;
    assert!(!fixture.folder(1).exists());
    let reports = fixture.take_reports();
    let (ending, has_manifest) = ended(&reports);
    assert_eq!(ending.failure.unwrap().code, FailureCode::RecordingDisabled);
    let revoked =
        |report: &BotReport| matches!(report, BotReport::Ended { consent_revoked: true, .. });
    assert!(!has_manifest && reports.iter().any(revoked), "{reports:#?}");
}

#[tokio::test]
async fn a_permanently_refused_handshake_ends_the_job() {
    use FailureCode::{AuthFailure, InternalError, RecordingDisabled};
    for (line, status, code) in [
        (SIGNALLING, 3, AuthFailure),
        (SIGNALLING, 99, InternalError),
        (SOUND, 9, RecordingDisabled),
        (SOUND, 42, InternalError),
    ] {
        let (zoom, fixture) = zoom().await;
        zoom.refuse(line, &[status]);
        fixture.zoom_stream(started(&zoom, 1));
        run(&zoom, order(&fixture)).finish().await;
        let (ending, has_manifest) = ended(&fixture.take_reports());
        let failure = ending.failure.unwrap();
        assert_eq!((&failure.code, has_manifest), (&code, false), "{status}: {failure:?}");
    }
    // The secret of another app.
    let (zoom, fixture) = zoom().await;
    fixture.zoom_stream(started(&zoom, 1));
    let mut order = order(&fixture);
    order.zoom.as_mut().unwrap().client_secret = Secret::new("another");
    run(&zoom, order).finish().await;
    assert_eq!(ended(&fixture.take_reports()).0.failure.unwrap().code, AuthFailure);
}

#[tokio::test]
async fn the_bot_connects_only_to_zooms_servers() {
    let (zoom, fixture) = zoom().await;
    let elsewhere = zoom.url().replace("localhost", "127.0.0.1");
    fixture.zoom_stream(ZoomStream { server_urls: vec![elsewhere], ..started(&zoom, 1) });
    run(&zoom, order(&fixture)).finish().await;
    let failure = ended(&fixture.take_reports()).0.failure.unwrap();
    assert!(failure.detail.contains("is not within localhost"), "{failure:?}");
}

#[tokio::test]
async fn without_a_stream_the_bot_waits_for_its_timeout_and_names_what_to_check() {
    let (zoom, fixture) = zoom().await;
    for (state, said) in [
        (None, "no RTMS stream was offered"),
        (Some(ZoomStreamState::GivenToAnotherJob), "another job"),
    ] {
        if let Some(state) = state {
            fixture.zoom_stream(ZoomStream { state, ..started(&zoom, 1) });
        }
        let auto_leave = AutoLeave { after_entry_delay_seconds: Some(1), ..AutoLeave::default() };
        run(&zoom, BotOrder { auto_leave, ..order(&fixture) }).finish().await;
        let failure = ended(&fixture.take_reports()).0.failure.unwrap();
        assert_eq!(failure.code, FailureCode::WaitingForHost);
        assert!(failure.detail.contains(said), "{failure:?}");
    }
}

#[tokio::test]
async fn a_chat_message_is_denied_and_leaving_closes_the_stream() {
    let (zoom, fixture) = zoom().await;
    let folder = tempfile::tempdir().unwrap();
    fixture.zoom_stream(started(&zoom, 1));
    let bot = run(&zoom, order(&fixture));
    zoom.play(speak(&[(101, "Ada", &tone(folder.path(), 400))], now().as_millis() - 3_000)).await;
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let writes = command(1, ControlAction::SendChatMessage, Some("hello"));
    let id = writes.id;
    fixture.command(writes);
    let denied = |report: &BotReport| matches!(report, BotReport::CommandDone { command_id, state: ControlState::Denied } if *command_id == id);
    fixture.wait_for(denied).await;
    fixture.command(command(2, ControlAction::LeaveCall, None));
    zoom.receives(|line, word| line == SIGNALLING && word["msg_type"] == 21).await;
    bot.finish().await;
    assert_eq!(ended(&fixture.take_reports()).0.status, JobStatus::Completed);
}
