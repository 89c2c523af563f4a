//! Untrusted text (of participants, servers, endpoints, callers) in the output of every command that prints any: it neither controls a terminal nor forges a line.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use meetbot::{EventName, Timestamp};
use meetbot_types::signature::sign;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::spec_file;

use crate::program::{CommandOutput, create_key, meetbot, run, serve};

/// Escape sequences (7-bit and C1), line breaks of all kinds, and marks of direction, around words that a search finds.
const HOSTILE: &str = "hostile\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{9d}x\u{9c}\u{8}\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}\r\nFORGED line\u{0}";

/// Whether a terminal acts on it; a line break is judged by what the line after it begins with.
fn controls_terminal(letter: char) -> bool {
    let bidi = "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    letter != '\n' && letter.is_control() || bidi.contains(letter)
}

#[track_caller]
fn is_harmless(what: &str, output: &CommandOutput) {
    let all = format!("{}{}", output.out, output.err);
    assert!(all.contains("hostile"), "{what}: nothing of it is shown: {output:?}");
    assert!(!all.contains(controls_terminal), "{what} steers: {output:?}");
    assert!(all.lines().all(|line| !line.starts_with("FORGED")), "{what} is forged: {output:?}");
}

/// The same value with hostile text in place of every text but times, and of those under names that are kept.
fn hostile(value: &Value, kept: &[&str]) -> Value {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_err() => HOSTILE.into(),
        Value::Null => Value::Null,
        Value::Array(values) => values.iter().map(|value| hostile(value, kept)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let kept_as_it_is = kept.contains(&name.as_str()) && value.is_string();
                let value = if kept_as_it_is { value.clone() } else { hostile(value, kept) };
                (name.clone(), value)
            };
            fields.iter().map(field).collect()
        }
        other => other.clone(),
    }
}

/// An answer of a model, as the vectors show the fullest of them.
fn answer(model: &str) -> Value {
    let vectors = spec_file::read_json("spec/vectors/models.json");
    let cases = vectors["cases"].as_array().unwrap().iter();
    let answers = cases.filter(|case| case["model"] == model && case["error"] != true);
    let longest = answers.max_by_key(|case| case["json"].to_string().len());
    longest.unwrap_or_else(|| panic!("no vector shows a {model}"))["json"].clone()
}

/// A failed job with hostile text in all of its fields. Its status is a known one, so that commands stop waiting.
fn failed_job() -> Value {
    let mut job = answer("job");
    for name in
        ["leaveReason", "failureCode", "failureDetail", "manifestUri", "externalId", "statusDetail"]
    {
        job[name] = HOSTILE.into();
    }
    job["metadata"] = json!({ HOSTILE: HOSTILE });
    job["status"] = "failed".into();
    hostile(&job, &["status"])
}

/// The events of a job: one of each name that this version knows, one of another, and the end.
fn events() -> Vec<Value> {
    let event = answer("timeline_event");
    let names = EventName::ALL.iter().map(EventName::as_str).chain([HOSTILE, "job.status_changed"]);
    let details = json!({
        "previousStatus": "a", "status": "a", "statusDetail": "a", "leaveReason": "a",
        "message": {"id": "a", "senderId": "a", "sender": "a", "text": "a", "private": false, "atMs": 0},
        "participant": {"id": "a", "name": "a", "isBot": false, "isHost": false, "joinedAt": 0, "leftAt": null, "speakingMs": 0, "names": ["a"]},
        "permission": "a", "failureCode": "a", "failureDetail": "a", "manifestUri": "a", "messages": 1, "captions": 1,
    });
    let made = names.zip(1..).map(|(name, sequence)| {
        let mut event = event.clone();
        for (field, value) in details.as_object().unwrap() {
            event["data"][field] = value.clone();
        }
        event = hostile(&event, &[]);
        (event["event"], event["data"]["event"]) = (name.into(), name.into());
        event["data"]["sequence"] = sequence.into();
        event
    });
    let mut made: Vec<Value> = made.collect();
    made.last_mut().unwrap()["data"]["status"] = "failed".into();
    made
}

/// What a hostile server answers.
fn answered(line: &str) -> (&'static str, String) {
    let path = line.split([' ', '?']).nth(1).unwrap_or_default();
    let page = |value: Value| json!({"data": [value], "nextCursor": null}).to_string();
    let body = match path.trim_start_matches("/api/v1") {
        "/jobs" if line.starts_with("GET") => page(failed_job()),
        "/deliveries" => page(hostile(&answer("delivery"), &[])),
        path if path.starts_with("/deliveries/") => hostile(&answer("delivery"), &[]).to_string(),
        "/usage" => hostile(&answer("usage"), &[]).to_string(),
        "/healthz" | "/readyz" => json!({"version": HOSTILE}).to_string(),
        path if path.ends_with("/leave-call") => {
            hostile(&answer("control_result"), &[]).to_string()
        }
        path if path.ends_with("/recording") => {
            hostile(&answer("deletion_receipt"), &[]).to_string()
        }
        path if path.contains("refused") => {
            let body = json!({
                "error": HOSTILE, "message": HOSTILE, "requestId": HOSTILE,
                "issues": [{"path": [HOSTILE], "code": HOSTILE, "message": HOSTILE}],
            });
            return ("400 Bad Request", body.to_string());
        }
        path if path.contains("broken") => return ("200 OK", HOSTILE.to_owned()),
        _ => failed_job().to_string(),
    };
    ("200 OK", body)
}

fn serve_one(stream: TcpStream, events: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    let (mut stream, mut length) = (stream, 0);
    while reader.read_line(&mut line).unwrap_or(0) > 0 {
        let (mut header, mut is_stream) = (String::new(), false);
        while reader.read_line(&mut header).unwrap_or(0) > 2 {
            let lower = header.to_lowercase();
            is_stream |= lower.contains("text/event-stream");
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            header.clear();
        }
        let _ = reader.read_exact(&mut vec![0; std::mem::take(&mut length)]);
        let (status, body) =
            if is_stream { ("200 OK", events.to_owned()) } else { answered(&line) };
        let kind = if is_stream { "text/event-stream" } else { "application/json" };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nX-Meetbot-Ignored: hostile\u{9b}\u{202e}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        line.clear();
    }
}

/// A server whose every answer is hostile, and its URL.
fn hostile_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let events =
        events().into_iter().zip(1..).map(|(event, id)| format!("id: {id}\ndata: {event}\n\n"));
    let events: Arc<str> = events.collect::<String>().into();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let events = Arc::clone(&events);
            thread::spawn(move || serve_one(stream, &events));
        }
    });
    url
}

#[test]
fn no_response_of_a_hostile_server_controls_the_terminal() {
    let url = hostile_server();
    for command in [
        &["jobs", "list"][..],
        &["jobs", "get", "job_1"],
        &["jobs", "leave", "job_1"],
        &["jobs", "delete-recording", "job_1"],
        &["jobs", "get", "refused"],
        &["jobs", "get", "broken"],
        &["jobs", "cancel", "refused"],
        &["watch", "job_1"],
        &["dispatch", "https://m.example"],
        &["dispatch", "https://m.example", "--watch"],
        &["usage"],
        &["webhooks", "list"],
        &["webhooks", "show", "dlv_1"],
        &["webhooks", "redeliver", "dlv_1"],
        &["webhooks", "redeliver", "--dead"],
        &["doctor", "--data-dir", "/dev/null/none"],
    ] {
        let run_command = |json: bool| {
            let mut command_line = meetbot();
            command_line.args(command).args(json.then_some("--json"));
            run(command_line
                .env("MEETBOT_API_KEY", "mb_test_0123456789")
                .env("MEETBOT_API_BASE_URL", &url))
        };
        let output = run_command(false);
        is_harmless(&command.join(" "), &output);
        let output = run_command(true);
        is_harmless(&format!("{} --json", command.join(" ")), &output);
        let mut whole = 0;
        for line in output.out.lines().chain(output.err.lines()) {
            let object: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{command:?} {error}: {line}"));
            whole += usize::from(holds(&object, HOSTILE));
        }
        // In an error the SDK may cut or quote it.
        let is_error = output.out.is_empty();
        assert!(whole > 0 || is_error, "{command:?} --json changes what it says: {output:?}");
    }
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.contains(text),
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        Value::Object(fields) => fields.values().any(|value| holds(value, text)),
        _ => false,
    }
}

/// Sends bytes to an address and waits until they are answered.
fn send(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn webhooks_listen_prints_neither_unsigned_nor_signed_text_as_it_is() {
    const SECRET: &str = "whsec_dGVzdA==";
    let data = json!({
        "event": "bot.chat_message", "jobId": HOSTILE, "sequence": 1, "status": HOSTILE, "metadata": {HOSTILE: HOSTILE},
        "message": {"id": HOSTILE, "senderId": HOSTILE, "sender": HOSTILE, "text": HOSTILE, "private": false, "atMs": 0},
    });
    let event = json!({
        "deliveryId": HOSTILE, "event": "bot.chat_message", "emittedAt": "2026-11-28T00:00:00.000Z", "attempt": 1, "version": 2, "data": data,
    });
    let signed = event.to_string();
    for json in [false, true] {
        let mut receiver = meetbot();
        receiver.args(["webhooks", "listen", "--listen", "127.0.0.1:0", "--full", "--count", "4"]);
        receiver.args(json.then_some("--json")).env("MEETBOT_WEBHOOK_SECRET", SECRET);
        let mut receiver = receiver
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Where it listens is the first thing that it says, on the one or the other.
        let mut first = String::new();
        let mut out = BufReader::new(receiver.stdout.take().unwrap());
        let mut err = BufReader::new(receiver.stderr.take().unwrap());
        if json { out.read_line(&mut first) } else { err.read_line(&mut first) }.unwrap();
        let address = first.split("http://").nth(1).unwrap().split('/').next().unwrap();
        for (body, signature) in [
            (HOSTILE, sign(b"other", SECRET)),
            (signed.as_str(), "sha256=\u{9b}31m\u{202e}".to_owned()),
            (signed.as_str(), sign(signed.as_bytes(), SECRET)),
            (HOSTILE, sign(HOSTILE.as_bytes(), SECRET)),
        ] {
            let head = format!(
                "POST /webhook HTTP/1.1\r\nHost: a\r\nX-Hostile: hostile\u{9b}2J\u{202e}\u{85}\r\nX-Meetbot-Signature: {signature}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            send(address, &[head.as_bytes(), body.as_bytes()].concat());
        }
        let (mut output, mut logged) = (String::new(), String::new());
        out.read_to_string(&mut output).unwrap();
        err.read_to_string(&mut logged).unwrap();
        let code = receiver.wait().unwrap().code();
        let output = CommandOutput { code, out: output, err: logged };
        assert_eq!(output.code, Some(1), "two were refused: {output:?}");
        is_harmless("webhooks listen --full", &output);
    }
}

/// What this server's own commands show of what callers sent it: consumers' names, calls in the audit log, URLs of webhooks, and its log.
#[test]
fn no_caller_controls_the_terminal_of_a_server() {
    let data = TempDir::new().unwrap();
    let mut command = meetbot();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let (server, started) = crate::program::Running::start(command.env("MEETBOT_LOG", "debug"));
    let url = started["url"].as_str().unwrap();
    let address = url.trim_start_matches("http://");
    let name = "hostile\u{202e}\u{2028}";
    let (key, _) = create_key(data.path(), &["--consumer", name]);
    let body = json!({
        "meetingUrl": "https://sandbox.meetbot.dev/two-speakers?seconds=1", "externalId": "hostile\u{202e}\u{2066}",
        "displayName": "hostile\u{202e}", HOSTILE: HOSTILE,
        "webhooks": {"onFinalize": "http://hooks.invalid/hostile\u{1b}[2J\t\u{9b}\u{202e}?\u{85}"},
    });
    let body = body.to_string();
    let call = |line: &str, body: &str| {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nX-Request-Id: hostile\u{9b}\u{202e}\r\nUser-Agent: hostile\u{9b}\u{202e}\r\nIdempotency-Key: 1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        send(address, &[head.as_bytes(), body.as_bytes()].concat())
    };
    let created = call("POST /api/v1/jobs", &body);
    assert!(created.starts_with("HTTP/1.1 201"), "{created}");
    call("POST /api/v1/jobs/%1b%5B2J%9bhostile%0d%0aFORGED/leave-call", "");
    call("DELETE /api/v1/hostile%1b\u{9b}\u{202e}/recording", "");
    call("POST /api/v1/jobs", "{\"hostile\u{1b}\u{9b}");

    let with_key = |command: &[&str]| {
        run(meetbot().args(command).env("MEETBOT_API_KEY", &key).env("MEETBOT_API_BASE_URL", url))
    };
    let jobs = with_key(&["jobs", "list"]);
    is_harmless("jobs list", &jobs);
    let listed: Value =
        serde_json::from_str(with_key(&["jobs", "list", "--json"]).out.lines().next().unwrap())
            .unwrap();
    let stored = listed["webhooks"]["onFinalize"].as_str().unwrap();
    assert_eq!(
        stored, "http://hooks.invalid/hostile%1B[2J%C2%9B%E2%80%AE?%C2%85",
        "as it is sent to"
    );
    let id = listed["id"].as_str().unwrap();
    is_harmless("jobs get", &with_key(&["jobs", "get", id]));
    for command in [&["keys", "list"][..], &["keys", "audit"], &["consumers", "list"]] {
        for more in [&[][..], &["--json"]] {
            let output = run(meetbot().args(command).args(more).arg("--data-dir").arg(data.path()));
            assert_eq!(output.code, Some(0), "{output:?}");
            assert!(!output.out.contains(controls_terminal), "{command:?}: {output:?}");
        }
    }
    is_harmless("keys list", &run(meetbot().args(["keys", "list", "--data-dir"]).arg(data.path())));
    let limit = ["consumers", "limit", name, "--bots", "3", "--data-dir"];
    is_harmless("consumers limit", &run(meetbot().args(limit).arg(data.path())));
    let unknown = ["webhooks", "secret", "--consumer", "hostile\u{1b}[2J\nFORGED", "--data-dir"];
    is_harmless("webhooks secret", &run(meetbot().args(unknown).arg(data.path())));
    let (_, log) = server.terminate_with_log();
    assert!(!log.contains(controls_terminal), "the log steers: {log:?}");
    assert!(log.lines().all(|line| !line.starts_with("FORGED")), "{log}");
}

#[test]
fn a_folder_with_a_hostile_name_does_not_control_the_terminal() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("hostile\u{1b}[2J\u{202e}\nFORGED");
    let (server, _) = serve(&data, None);
    server.kill();
    let backup = |file: &str| {
        let mut command: Command = meetbot();
        run(command.args(["backup", "--data-dir"]).arg(&data).arg(parent.path().join(file)))
    };
    is_harmless("backup", &backup("copy"));
    is_harmless("backup", &backup("hostile\u{1b}[2J/none"));
}
