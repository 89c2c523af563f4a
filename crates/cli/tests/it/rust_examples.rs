//! The specification's three examples as programs of the Rust SDK (`crates/meetbot/examples`), against a real server.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use meetbot::{AutoLeave, NewJob, Webhooks};
use meetbot_types::{Manifest, signature};
use tempfile::TempDir;

use crate::program::{CommandOutput, PATIENCE, client, create_key, run, serve};

/// One of the examples, which `cargo test --workspace` has built.
fn example(name: &str) -> Command {
    let arguments = ["build", "--workspace", "--locked", "--offline", "--example", name];
    let built = run(Command::new(env!("CARGO")).args(arguments));
    assert_eq!(built.code, Some(0), "{built:?}");
    let programs = Path::new(env!("CARGO_BIN_EXE_meetbot")).parent().unwrap();
    Command::new(programs.join("examples").join(name))
}

/// What such a program prints.
fn printed(name: &str, url: &str, key: &str) -> CommandOutput {
    let mut example = example(name);
    let output = run(example.env("MEETBOT_API_KEY", key).env("MEETBOT_API_BASE_URL", url));
    assert_eq!(output.code, Some(0), "{output:?}");
    output
}

#[test]
fn the_first_example_dispatches_polls_and_prints_a_manifest() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let output = printed("dispatch_and_poll", &url, &key);
    let lines: Vec<&str> = output.out.lines().collect();
    assert!(
        lines[0].starts_with("dispatched job_") && lines[0].ends_with(" → queued"),
        "{output:?}"
    );
    let [.., last, manifest] = &lines[..] else { panic!("{output:?}") };
    assert_eq!(*last, "completed", "{output:?}");
    let path = manifest.strip_prefix("manifest: file://").unwrap();
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((manifest.display_name.as_str(), manifest.tracks.len()), ("Acme Notetaker", 3));
}

#[test]
fn the_second_example_dispatches_with_a_time_and_rules_to_leave() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let output = printed("dispatch_with_rules", &url, &key);
    // The time lies in the past, which means now: the job has begun, and keeps the time that was asked for.
    let (id, rest) = output.out.trim_end().split_once(' ').unwrap();
    assert!(rest.ends_with(" 2026-05-15T14:00:00.000Z"), "{output:?}");
    let job = client(&url, &key).get_bot(id).unwrap().unwrap();
    let rules = AutoLeave {
        after_entry_delay_seconds: Some(300),
        after_max_seconds: Some(7200),
        on_bot_detected: true,
        ..job.auto_leave.clone()
    };
    assert_eq!(job.auto_leave, rules);
    assert_eq!(job.metadata.as_json(), r#"{"customer_id": "cust_4711"}"#);
    let hook = "https://api.acme.example/meetbot/finalize";
    assert_eq!(job.webhooks.on_finalize.as_deref(), Some(hook));
}

/// A program that is killed when the test is over.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The status of the answer to a webhook with this signature.
fn posted(address: &str, body: &str, signature: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /webhook/meetbot HTTP/1.1\r\nHost: receiver\r\nConnection: close";
    let length = body.len();
    write!(stream, "{head}\r\n{signature}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_third_example_accepts_only_webhooks_of_the_server() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, secret) = create_key(data.path(), &[]);
    let mut receiver = example("receive_webhooks");
    receiver.arg("127.0.0.1:0").env("MEETBOT_WEBHOOK_SECRET", &secret);
    let mut receiver = KillOnDrop(receiver.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(receiver.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let hook = first.strip_prefix("listening on ").unwrap();
    let mb = client(&url, &key);
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=1".to_owned(),
        webhooks: Some(Webhooks { on_finalize: Some(hook.to_owned()), ..Webhooks::default() }),
        ..NewJob::default()
    };
    let job = mb.dispatch_bot(new).unwrap();
    let recorded = lines.next().unwrap().unwrap();
    let ended = mb.wait_for_bot(&job.id, Some(PATIENCE)).unwrap();
    assert_eq!(recorded, format!("recorded: {} {}", job.id, ended.manifest_uri.unwrap()));

    let address = hook.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let body = r#"{"event": "job.failed", "data": {"jobId": "job_1", "event": "job.failed"}}"#;
    assert_eq!(posted(address, body, "X-Meetbot-Signature: sha256=00"), "401");
    // This one does not say when it was sent.
    let undated = format!("X-Meetbot-Signature: {}", signature::sign(body.as_bytes(), &secret));
    assert_eq!(posted(address, body, &undated), "401");
}
