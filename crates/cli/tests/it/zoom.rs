//! A meeting of Zoom from its webhook to the recording, with the whole program and a fake Zoom.

use std::{fs, path::Path, time::SystemTime};

use meetbot::{JobStatus, NewJob};
use meetbot_testkit::{
    polling::poll_until,
    zoom::{SIGNALLING, Step, Stream, Webhook, Zoom},
};
use meetbot_types::signature::hmac_sha256;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::program::{
    PATIENCE, Running, await_job, client, create_live_key, manifest_of, meetbot, run,
};

/// Settings take no host without a dot, so that the server has to find this one on loopback.
const HOST: &str = "rtms.zoom.test";
const TOKEN: &str = "the-webhook-secret-token";
const SECRET: &str = "the-client-secret-of-the-app";
const SOUND: u64 = 1;
const CHAT: u64 = 16;
/// F8 FF FE: a packet of Opus with 20 ms of silence.
const SILENCE: &str = "+P/+";

/// The server, in a mount namespace with a separate hosts file.
fn serve(folder: &Path, zooms: &[&Zoom]) -> (Running, String) {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let hosts = file("hosts", &format!("127.0.0.1 localhost {HOST}\n"));
    let (client, webhook) = (file("client", SECRET), file("webhook", TOKEN));
    let settings = format!(
        "[bots]\nmax = 60\n[zoom]\nhosts = [\"zoom.test\"]\n[zoom.apps.desk]\nclient_id = \"client\"\nclient_secret_file = \"{}\"\n\
         webhook_secret_files = [\"{}\"]\nconsumer = \"default\"\n",
        client.display(),
        webhook.display()
    );
    let program = meetbot();
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
    command.arg(hosts).arg(program.get_program()).args(["serve", "--dev", "--config"]);
    command.arg(file("meetbot.toml", &settings));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("data"));
    for (name, _) in program.get_envs() {
        command.env_remove(name);
    }
    let certificates: String = zooms.iter().map(|zoom| zoom.pem()).collect();
    command.env("SSL_CERT_FILE", file("zoom.pem", &certificates));
    let (server, started) = Running::start(&mut command);
    (server, started["url"].as_str().unwrap().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a webhook of now")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Sends a webhook of Zoom to the server; returns the status.
fn post(url: &str, event: &str, payload: &Value) -> u16 {
    Webhook::flat(event, payload, now_ms(), TOKEN).post(url).unwrap().0
}

/// So many packets of silence in Opus from this moment of the meeting on.
fn speaks(id: i64, name: &str, from_ms: i64, packets: i64) -> Vec<Step> {
    speaks_in(SILENCE, id, name, from_ms, packets)
}

/// The same, of packets with this in them, in base64.
fn speaks_in(data: &str, id: i64, name: &str, from_ms: i64, packets: i64) -> Vec<Step> {
    let packet = |number| {
        let at_ms = from_ms + 20 * number;
        let content = json!({"user_id": id, "user_name": name, "data": data, "timestamp": at_ms});
        Step::Say(SOUND, json!({"msg_type": 14, "content": content}))
    };
    (0..packets).map(packet).collect()
}

#[test]
fn a_zoom_webhook_leads_to_a_recording_over_a_kill_of_the_server() {
    let test = "a_zoom_webhook_leads_to_a_recording_over_a_kill_of_the_server";
    if !xtask::is_root() {
        xtask::not_tested(test, "needs root, for a hosts file of its own");
        return;
    }
    let folder = TempDir::new().unwrap();
    let runtime = Runtime::new().unwrap();
    let stream = Stream {
        client_id: "client".to_owned(),
        client_secret: SECRET.to_owned(),
        meeting_uuid: "4444AAAiAAAAAiAiAiiAii/+==".to_owned(),
        stream_id: "stream-1".to_owned(),
    };
    let zoom = runtime.block_on(Zoom::start_as(HOST, stream)).unwrap();
    let key = create_live_key(&folder.path().join("data"));
    let (server, url) = serve(folder.path(), &[&zoom]);
    let client = client(&url, &key);
    let order = NewJob {
        meeting_url: "https://zoom.us/j/91234567890?pwd=x".to_owned(),
        ..NewJob::default()
    };
    let id = client.dispatch_bot(order).unwrap().id;
    await_job(&client, &id, |job| {
        job.status_detail.as_ref().is_some_and(|detail| detail == "waiting_for_host")
    });
    let payload = json!({
        "meeting_uuid": "4444AAAiAAAAAiAiAiiAii/+==", "meeting_id": "91234567890",
        "rtms_stream_id": "stream-1", "server_urls": zoom.url(),
    });
    for _ in 0..2 {
        assert_eq!(post(&url, "meeting.rtms_started", &payload), 200);
    }
    // All of it was sent before the bot connected: Zoom sends it again.
    let from_ms = now_ms() - 2_000;
    runtime.block_on(zoom.play(speaks(101, "Ada", from_ms, 100)));
    await_job(&client, &id, |job| job.status == JobStatus::Recording);
    let track = folder.path().join(format!("data/recordings/{id}/e1/audio.Ada.webm"));
    poll_until(PATIENCE, || {
        let bytes = fs::metadata(&track).map_or(0, |track| track.len());
        (bytes > 1_000).then_some(()).ok_or("Ada is not in her file")
    });
    server.kill();
    // Ada speaks on while no bot is connected: Zoom sends it to the next bot.
    let goes_on = speaks(101, "Ada", from_ms + 2_000, 40).into_iter().map(|step| match step {
        Step::Say(line, word) => Step::Keep(line, word),
        step => step,
    });
    runtime.block_on(zoom.play(goes_on));
    let (server, url) = serve(folder.path(), &[&zoom]);
    let client = crate::program::client(&url, &key);
    runtime.block_on(zoom.connects(SIGNALLING, 2));
    await_job(&client, &id, |job| {
        job.attempt == 2 && matches!(job.status, JobStatus::InCall | JobStatus::Recording)
    });
    let later_ms = now_ms();
    runtime.block_on(zoom.play(speaks(102, "Bea", later_ms, 50)));
    let chat = json!({"user_id": 102, "user_name": "Bea", "data": "good bye", "timestamp": later_ms + 1_000});
    runtime.block_on(zoom.play([Step::Say(CHAT, json!({"msg_type": 18, "content": chat}))]));
    poll_until(PATIENCE, || {
        let events = client.events(&id, None).unwrap().data;
        events.iter().any(|event| event.event == "bot.chat_message").then_some(()).ok_or("no chat")
    });
    runtime.block_on(zoom.has_sent_all(&[SOUND]));
    runtime.block_on(zoom.play([
        Step::Say(SIGNALLING, json!({"msg_type": 9, "state": 5, "stop_reason": 6})),
        Step::Say(SIGNALLING, json!({"msg_type": 8, "state": 4, "reason": 6})),
    ]));
    let job = client.wait_for_bot(&id, Some(PATIENCE * 2)).unwrap();
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    assert_eq!(zoom.faults(), Vec::<String>::new());

    let manifest = manifest_of(&client, &id);
    let packets = |name: &str| -> u64 {
        let person = manifest.participants.iter().find(|person| person.name == name).unwrap();
        let tracks = manifest.tracks.iter().filter(|track| track.participant_id == person.id);
        tracks.map(|track| track.packets).sum()
    };
    // What Zoom sends again after the kill is in no file twice, and what it sends for the first time is in one.
    assert_eq!((packets("Ada"), packets("Bea")), (140, 50), "{manifest:#?}");
    // The operator's doctor sees all of it, and says no secret.
    let settings = folder.path().join("meetbot.toml");
    let mut doctor = meetbot();
    doctor.args(["doctor", "zoom", "--json", "--base-url", &url, "--config"]).arg(settings);
    doctor.arg("--data-dir").arg(folder.path().join("data"));
    let found = run(&mut doctor);
    let checks = found.json();
    let round_trip = |check: &Value| {
        check["check"] == "zoom"
            && check["found"].as_str().unwrap().contains("answers Zoom's validation")
    };
    assert!(checks["checks"].as_array().unwrap().iter().any(round_trip), "{checks:#}");
    let odd = odd_webhooks();
    for (body, status) in &odd {
        let webhook = Webhook::signed(body.clone(), now_ms() / 1000, TOKEN);
        let (found, answer) = webhook.post(&url).unwrap();
        assert_eq!(found, *status, "{body}: {answer}");
        let unsigned = Webhook::signed(body.clone(), now_ms() / 1000, LIVE_KEY).post(&url).unwrap();
        assert_eq!(unsigned.0, 401, "{body}");
        for answer in [answer, unsigned.1] {
            assert!(!answer.contains(LIVE_KEY) && !answer.contains(TOKEN), "{body}: {answer}");
        }
    }
    let (_, log) = server.terminate_with_log();
    let signature = hmac_sha256(SECRET.as_bytes(), b"client,4444AAAiAAAAAiAiAiiAii/+==,stream-1");
    assert!(log.contains("rtms") || log.contains("zoom"), "the log is that of this meeting: {log}");
    for secret in [TOKEN, SECRET, &signature, LIVE_KEY] {
        let output = [&log, &found.out, &found.err].map(|text| text.contains(secret));
        assert_eq!(output, [false; 3], "a secret is shown");
    }
}

/// A key as the server makes them.
const LIVE_KEY: &str = "mb_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Webhooks with a key and the token in the wrong places, and their statuses.
fn odd_webhooks() -> Vec<(String, u16)> {
    let both = format!("{LIVE_KEY} {TOKEN}");
    let started = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({"event": "meeting.rtms_started", "event_ts": now_ms(), "payload": {
            "meeting_uuid": "u", "meeting_id": "95555555555", "rtms_stream_id": "s",
            "server_urls": format!("wss://{HOST}/"), "authorization": both,
        }});
        change(&mut body);
        body.to_string()
    };
    vec![
        (both.clone(), 400),
        (format!("{{\"event\": \"{both}"), 400),
        (json!({ "event": both }).to_string(), 200),
        (json!({ "event": {"api_key": both} }).to_string(), 400),
        (json!({ LIVE_KEY: TOKEN }).to_string(), 400),
        (started(&|body| body["payload"]["server_urls"] = format!("wss://{LIVE_KEY}").into()), 400),
        (started(&|body| body["payload"]["server_urls"] = json!([{ "key": both }])), 400),
        (
            started(&|body| {
                body["payload"]["server_urls"] = format!("wss://{LIVE_KEY}@{HOST}/").into();
            }),
            400,
        ),
        (started(&|body| body["payload"]["rtms_stream_id"] = json!([both])), 400),
        (started(&|body| body["payload"]["rtms_stream_id"] = LIVE_KEY.into()), 200),
        (started(&|body| body["payload"]["meeting_uuid"] = both.clone().into()), 200),
        (started(&|body| body["payload"]["meeting_id"] = both.clone().into()), 200),
        (started(&|body| body["event_ts"] = both.clone().into()), 400),
        (started(&|_| ()), 200),
    ]
}

#[test]
fn an_invalid_template_of_jobs_is_refused_at_the_start() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (client, webhook) = (file("client", SECRET), file("webhook", TOKEN));
    let app = format!(
        "[zoom.apps.desk]\nclient_id = \"client\"\nclient_secret_file = \"{}\"\nwebhook_secret_files = [\"{}\"]\nconsumer = \"default\"\n",
        client.display(),
        webhook.display()
    );
    for (template, expected) in [
        ("colour = 1", "no job has: colour; it may have displayName"),
        ("bot_name = \"Notes\"", "displayName"),
        ("display_name = \"Notes\"", "displayName"),
        ("displayName = 5", "displayName: must be a string"),
        ("recordVideo = \"yes\"", "recordVideo: must be true or false"),
        ("meetingUrl = \"https://zoom.us/j/1\"", "must not have meetingUrl"),
        ("autoLeave = { afterSoloSeconds = -1 }", "autoLeave.afterSoloSeconds: must be a whole"),
        ("webhooks = { onFinalize = \"ftp://a.example\" }", "webhooks.onFinalize: "),
    ] {
        let settings = format!("{app}[zoom.apps.desk.auto_dispatch]\n{template}\n");
        let mut server = meetbot();
        server.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--config"]);
        server.arg(file("meetbot.toml", &settings));
        let output = run(server.arg("--data-dir").arg(folder.path().join("data")));
        assert_eq!(output.code, Some(1), "{template}: {output:?}");
        let place = "zoom.apps.desk.auto_dispatch: ";
        assert!(
            output.err.contains(place) && output.err.contains(expected),
            "{template}: {output:?}"
        );
    }
}

/// The course of a stream after its bot has joined.
#[derive(Clone, Copy)]
enum StreamCase {
    /// It stops for this reason.
    Stops(u64),
    /// These handshakes are refused before one is fine; where it is joined all the same, the meeting ends.
    Refuses(u64, &'static [u64]),
}

/// How its job ends: its status, its failure code, and whether all that was recorded is deleted.
type JobEnding = (JobStatus, Option<&'static str>, bool);

const WHOLE: JobEnding = (JobStatus::Completed, None, false);
const REMOVED: JobEnding = (JobStatus::Failed, Some("removed_from_meeting"), false);
const DISABLED: JobEnding = (JobStatus::Failed, Some("recording_disabled"), false);
const DELETED: JobEnding = (JobStatus::Failed, Some("recording_disabled"), true);
const KEYS: JobEnding = (JobStatus::Failed, Some("auth_failure"), false);
const ERROR: JobEnding = (JobStatus::Failed, Some("internal_error"), false);

/// Every stop reason and every status of a handshake that Zoom documents. What interrupts a stream is followed by its return.
fn table() -> Vec<(StreamCase, JobEnding)> {
    const VIDEO: u64 = 2;
    const SHARE: u64 = 4;
    const TRANSCRIPT: u64 = 8;
    let stops = (1..=25).map(|reason| {
        let ends = match reason {
            1..=5 => REMOVED,
            8 => DELETED,
            9 | 23 => DISABLED,
            18 => KEYS,
            _ => WHOLE,
        };
        (StreamCase::Stops(reason), ends)
    });
    let refusals: [(u64, &'static [u64], JobEnding); 18] = [
        (SIGNALLING, &[1], ERROR),
        (SIGNALLING, &[2], WHOLE),
        (SIGNALLING, &[3], KEYS),
        (SIGNALLING, &[4], ERROR),
        (SIGNALLING, &[8], WHOLE),
        (SIGNALLING, &[40], WHOLE),
        (SOUND, &[3], KEYS),
        (SOUND, &[9], DISABLED),
        (SOUND, &[13], DISABLED),
        (SOUND, &[15, 16], WHOLE),
        (SOUND, &[18], WHOLE),
        (SOUND, &[18, 24], ERROR),
        (SOUND, &[42], ERROR),
        (VIDEO, &[10], WHOLE),
        (SHARE, &[35], WHOLE),
        (TRANSCRIPT, &[43], WHOLE),
        (CHAT, &[13], WHOLE),
        (CHAT, &[15], WHOLE),
    ];
    let refusals = refusals
        .into_iter()
        .map(|(line, statuses, ends)| (StreamCase::Refuses(line, statuses), ends));
    stops.chain(refusals).collect()
}

/// Plays the course of a stream.
async fn play(zoom: &Zoom, goes: StreamCase, from_ms: i64) {
    let stops = |reason: u64| {
        [
            Step::Say(SIGNALLING, json!({"msg_type": 9, "state": 5, "stop_reason": reason})),
            Step::Say(SIGNALLING, json!({"msg_type": 8, "state": 4, "reason": reason})),
        ]
    };
    // 20 ms of samples where Opus was refused.
    let samples = "A".repeat(2_560);
    let of_samples = matches!(goes, StreamCase::Refuses(SOUND, [18]));
    let data = if of_samples { samples.as_str() } else { SILENCE };
    zoom.play(speaks_in(data, 101, "Ada", from_ms, 20)).await;
    zoom.has_sent_all(&[SOUND]).await;
    match goes {
        // Those that end nothing: the stream is joined again, and then the meeting ends.
        StreamCase::Stops(reason @ (7 | 10..=17 | 19..=22 | 24 | 25)) => {
            zoom.play(stops(reason)).await;
            zoom.connects(SIGNALLING, 2).await;
            zoom.connects(SOUND, 2).await;
            zoom.play(speaks(101, "Ada", from_ms + 400, 20)).await;
            zoom.has_sent_all(&[SOUND]).await;
            zoom.play(stops(6)).await;
        }
        StreamCase::Stops(reason) => zoom.play(stops(reason)).await,
        StreamCase::Refuses(..) => zoom.play(stops(6)).await,
    }
}

#[test]
fn each_stop_and_each_refusal_of_a_handshake_ends_its_job_as_documented() {
    let test = "each_stop_and_each_refusal_of_a_handshake_ends_its_job_as_documented";
    if !xtask::is_root() {
        xtask::not_tested(test, "needs root, for a hosts file of its own");
        return;
    }
    let folder = TempDir::new().unwrap();
    let runtime = Runtime::new().unwrap();
    let table = table();
    let stream = |number: usize| Stream {
        client_id: "client".to_owned(),
        client_secret: SECRET.to_owned(),
        meeting_uuid: format!("uuid-{number}"),
        stream_id: format!("stream-{number}"),
    };
    let zooms: Vec<Zoom> = (0..table.len())
        .map(|number| runtime.block_on(Zoom::start_as(HOST, stream(number))).unwrap())
        .collect();
    let key = create_live_key(&folder.path().join("data"));
    let (server, url) = serve(folder.path(), &zooms.iter().collect::<Vec<_>>());
    let client = client(&url, &key);
    let from_ms = now_ms() - 3_000;
    let mut jobs = Vec::new();
    for (number, ((goes, _), zoom)) in table.iter().zip(&zooms).enumerate() {
        let meeting = 91_000_000_000 + number;
        let order =
            NewJob { meeting_url: format!("https://zoom.us/j/{meeting}"), ..NewJob::default() };
        jobs.push(client.dispatch_bot(order).unwrap().id);
        if let StreamCase::Refuses(line, statuses) = goes {
            zoom.refuse(*line, statuses);
        }
        let payload = json!({
            "meeting_uuid": format!("uuid-{number}"), "meeting_id": meeting,
            "rtms_stream_id": format!("stream-{number}"), "server_urls": zoom.url(),
        });
        // Both shapes of a webhook lead there.
        let event = "meeting.rtms_started";
        let webhook = if number % 2 == 0 {
            Webhook::flat(event, &payload, now_ms(), TOKEN)
        } else {
            Webhook::nested(event, &payload, now_ms(), TOKEN)
        };
        assert_eq!(webhook.post(&url).unwrap().0, 200);
    }
    let zooms: Vec<std::sync::Arc<Zoom>> = zooms.into_iter().map(std::sync::Arc::new).collect();
    for ((goes, _), zoom) in table.iter().zip(&zooms) {
        let (goes, zoom) = (*goes, std::sync::Arc::clone(zoom));
        runtime.spawn(async move { play(&zoom, goes, from_ms).await });
    }
    for ((goes, (status, code, deleted)), job) in table.iter().zip(&jobs) {
        let what = match goes {
            StreamCase::Stops(reason) => format!("stop {reason}"),
            StreamCase::Refuses(line, statuses) => format!("{line} refused with {statuses:?}"),
        };
        let job = client.wait_for_bot(job, Some(PATIENCE * 2)).unwrap();
        let failed = job.failure_code.as_ref().map(ToString::to_string);
        assert_eq!((&job.status, failed.as_deref()), (status, *code), "{what}: {job:#?}");
        let is_deleted = job.recording.deleted_at.is_some() && job.manifest_uri.is_none();
        assert_eq!(is_deleted, *deleted, "{what}: {job:#?}");
        if job.status == JobStatus::Completed {
            let manifest = manifest_of(&client, &job.id);
            let packets: u64 = manifest.tracks.iter().map(|track| track.packets).sum();
            let goes_on = matches!(goes, StreamCase::Stops(reason) if *reason != 6);
            assert_eq!(packets, if goes_on { 40 } else { 20 }, "{what}: {manifest:#?}");
        }
    }
    for zoom in &zooms {
        assert_eq!(zoom.faults(), Vec::<String>::new());
    }
    drop(server);
}
