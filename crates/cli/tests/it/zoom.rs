//! A meeting of Zoom from its webhook to the recording: the whole program, and a Zoom that the test plays.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::SystemTime,
};

use meetbot::{JobStatus, NewJob};
use meetbot_testkit::{
    polling::poll_until,
    zoom::{SIGNALLING, Step, Stream, Zoom},
};
use meetbot_types::signature::hmac_sha256;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::program::{PATIENCE, Running, await_job, client, create_live_key, manifest_of, meetbot};

/// Settings take no host without a dot, so that the server has to find this one on loopback.
const HOST: &str = "rtms.zoom.test";
const TOKEN: &str = "the-webhook-secret-token";
const SOUND: u64 = 1;
const CHAT: u64 = 16;
/// F8 FF FE: a packet of Opus with 20 ms of silence.
const SILENCE: &str = "+P/+";

/// The server, in a mount namespace with a hosts file of its own.
fn serve(folder: &Path, zoom: &Zoom) -> (Running, String) {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let hosts = file("hosts", &format!("127.0.0.1 localhost {HOST}\n"));
    let (client, webhook) = (file("client", "of-the-app"), file("webhook", TOKEN));
    let settings = format!(
        "[zoom]\nhosts = [\"zoom.test\"]\n[zoom.apps.desk]\nclient_id = \"client\"\nclient_secret_file = \"{}\"\n\
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
    command.env("SSL_CERT_FILE", file("zoom.pem", &zoom.pem()));
    let (server, started) = Running::start(&mut command);
    (server, started["url"].as_str().unwrap().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a webhook of now")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Posts a webhook, signed as Zoom signs it, and answers its status line.
fn post(url: &str, event: &str, payload: &Value) -> String {
    let body = json!({"event": event, "event_ts": now_ms(), "payload": payload}).to_string();
    let seconds = now_ms() / 1_000;
    let signed = hmac_sha256(TOKEN.as_bytes(), format!("v0:{seconds}:{body}").as_bytes());
    let address = url.strip_prefix("http://").unwrap();
    let mut server = TcpStream::connect(address).unwrap();
    write!(
        server,
        "POST /api/v1/hooks/zoom HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nx-zm-request-timestamp: {seconds}\r\nx-zm-signature: v0={signed}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// So many packets of silence in Opus from this moment of the meeting on.
fn speaks(id: i64, name: &str, from_ms: i64, packets: i64) -> Vec<Step> {
    let packet = |number| {
        let at_ms = from_ms + 20 * number;
        let content =
            json!({"user_id": id, "user_name": name, "data": SILENCE, "timestamp": at_ms});
        Step::Say(SOUND, json!({"msg_type": 14, "content": content}))
    };
    (0..packets).map(packet).collect()
}

#[test]
fn a_webhook_of_zoom_leads_to_a_recording_that_outlives_a_kill_of_the_server() {
    let test = "a_webhook_of_zoom_leads_to_a_recording_that_outlives_a_kill_of_the_server";
    if !xtask::is_root() {
        xtask::not_tested(test, "needs root, for a hosts file of its own");
        return;
    }
    let folder = TempDir::new().unwrap();
    let runtime = Runtime::new().unwrap();
    let stream = Stream {
        client_id: "client".to_owned(),
        client_secret: "of-the-app".to_owned(),
        meeting_uuid: "4444AAAiAAAAAiAiAiiAii/+==".to_owned(),
        stream_id: "stream-1".to_owned(),
    };
    let zoom = runtime.block_on(Zoom::start_as(HOST, stream)).unwrap();
    let key = create_live_key(&folder.path().join("data"));
    let (server, url) = serve(folder.path(), &zoom);
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
        let status = post(&url, "meeting.rtms_started", &payload);
        assert!(status.contains(" 200 "), "{status}");
    }
    // All of it was said before the bot came: Zoom sends it again.
    let from_ms = now_ms() - 2_000;
    runtime.block_on(zoom.play(speaks(101, "Ada", from_ms, 100)));
    await_job(&client, &id, |job| job.status == JobStatus::Recording);
    let track = folder.path().join(format!("data/recordings/{id}/e1/audio.Ada.webm"));
    poll_until(PATIENCE, || {
        let bytes = fs::metadata(&track).map_or(0, |track| track.len());
        (bytes > 1_000).then_some(()).ok_or("Ada is not in her file")
    });
    server.kill();
    // Ada goes on while nobody listens: Zoom sends it to the next bot.
    let goes_on = speaks(101, "Ada", from_ms + 2_000, 40).into_iter().map(|step| match step {
        Step::Say(line, word) => Step::Keep(line, word),
        step => step,
    });
    runtime.block_on(zoom.play(goes_on));
    let (_server, url) = serve(folder.path(), &zoom);
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
}
