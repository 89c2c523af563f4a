//! The scripted server, by what comes over its sockets and its standard streams.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Lines, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
};

use meetbot_testkit::scripted::{ConnectionEvent, Reply, Script, Server, Then};
use serde_json::{Value, json};

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

fn asked(url: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// All that comes until the server closes the connection.
fn answered(url: &str, request: &str) -> String {
    let mut text = String::new();
    asked(url, request).read_to_string(&mut text).unwrap();
    text
}

fn reads(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(str::from_utf8(&bytes).unwrap(), expected);
}

/// The program, by its standard streams.
struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn started(script: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scripted-server"));
        let mut child =
            command.args(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    fn line(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    fn command(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }
}

#[test]
fn the_program_serves_scripts_and_reports_events_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.json");
    let busy = "HTTP/1.1 429 Busy\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n";
    std::fs::write(&script, json!({ "replies": [{ "answer": busy }] }).to_string()).unwrap();
    let mut program = Program::started(Some(&script));
    let first = program.line()["done"].take();
    let url = first["url"].as_str().unwrap();

    let post = "POST /b HTTP/1.1\r\nAuthorization: k: v\r\nContent-Length: 3\r\n\r\n\u{e9}!";
    assert_eq!(answered(url, post), busy);
    assert_eq!(program.line(), json!({ "happened": "opened", "server": 1, "connection": 1 }));
    let headers = [["authorization", "k: v"], ["content-length", "3"]];
    let request = json!({ "line": "POST /b HTTP/1.1", "headers": headers, "body": "\u{e9}!" });
    assert_eq!(
        program.line(),
        json!({ "happened": "asked", "server": 1, "connection": 1, "request": request })
    );
    assert_eq!(
        program.line(),
        json!({ "happened": "closed", "server": 1, "connection": 1, "byClient": false })
    );
    assert!(answered(url, GET).starts_with("HTTP/1.1 599 "), "the script is at its end");
    for happened in ["opened", "asked", "closed"] {
        let line = program.line();
        assert_eq!((&line["happened"], &line["connection"]), (&json!(happened), &json!(2)));
    }

    let relays = json!({ "answer": "HTTP/1.1 200 OK\r\n\r\n", "then": "relays" });
    let bytes = json!({ "answer": { "base64": "H4sIAA==" }, "always": true });
    let second = program.command(&json!({ "start": { "replies": [bytes], "events": [relays] } }));
    assert_eq!(second["done"]["server"], 2);
    let url = second["done"]["url"].as_str().unwrap();
    for _ in 0..3 {
        let mut bytes = Vec::new();
        asked(url, GET).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0x1f, 0x8b, 8, 0]);
        for _ in 0..3 {
            program.line();
        }
    }
    assert_eq!(
        program.command(&json!({ "send": { "server": 2, "bytes": "early " } })),
        json!({ "done": {} })
    );
    let mut events = asked(url, "GET /a HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n");
    reads(&mut events, "HTTP/1.1 200 OK\r\n\r\nearly ");
    for _ in 0..2 {
        program.line();
    }
    program.command(&json!({ "send": { "server": 2, "bytes": "late" } }));
    reads(&mut events, "late");
    assert_eq!(
        program.command(&json!({ "send": { "server": 7, "bytes": "" } })),
        json!({ "error": "there is no server 7" })
    );
    let wrong = program.command(&json!({ "start": { "replys": [] } }));
    assert!(wrong["error"].as_str().unwrap().contains("unknown field `replys`"), "{wrong}");

    let Program { mut child, input, .. } = program;
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(events.read(&mut [0]).unwrap(), 0, "the servers end with the program");
}

#[test]
fn a_server_that_is_stopped_refuses_connections_and_ends_those_that_are_open() {
    let mut program = Program::started(None);
    let hangs = json!({ "answer": "", "then": "hangs", "always": true });
    let started = program.command(&json!({ "start": { "replies": [hangs] } }));
    let url = started["done"]["url"].as_str().unwrap();
    let mut open = asked(url, GET);
    for happened in ["opened", "asked"] {
        assert_eq!(program.line()["happened"], happened);
    }
    writeln!(program.input, "{}", json!({ "stop": { "server": 1 } })).unwrap();
    assert_eq!(open.read(&mut [0]).unwrap(), 0);
    let mut lines = [program.line(), program.line()];
    lines.sort_by_key(|line| line["happened"].is_null());
    assert_eq!(
        lines,
        [
            json!({ "happened": "closed", "server": 1, "connection": 1, "byClient": true }),
            json!({ "done": {} })
        ]
    );
    let refused = TcpStream::connect(url.trim_start_matches("http://")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_invalid_script_ends_the_program_with_the_reason() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scripted-server"));
    let missing = command.arg("/no/such.json").output().unwrap();
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(!missing.status.success() && said.contains("/no/such.json: "), "{said}");
}

#[test]
fn after_its_bytes_a_reply_closes_resets_floods_stays_hangs_or_relays() {
    let (report, happened) = mpsc::channel();
    let head = "HTTP/1.1 200 OK\r\n";
    let reply = |then| Reply { then, ..Reply::raw(head) };
    let replies = [
        reply(Then::Closes),
        reply(Then::Resets),
        Reply { flood: b"X-A: b\r\n".to_vec(), ..reply(Then::Floods) },
        reply(Then::Stays),
        reply(Then::Hangs),
        reply(Then::Relays),
    ];
    let server = Server::observed(replies, move |what| report.send(what).unwrap()).unwrap();
    let url = server.url();
    let closed_by_client = || {
        loop {
            if let ConnectionEvent::Closed { by_client, .. } = happened.recv().unwrap() {
                return by_client;
            }
        }
    };
    assert_eq!(answered(&url, GET), head);
    assert!(!closed_by_client());
    let reset = asked(&url, GET).read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert!(!closed_by_client());
    let mut endless = asked(&url, GET);
    endless.read_exact(&mut vec![0; 1 << 20]).unwrap();
    drop(endless);
    assert!(closed_by_client());

    // The reply that stays, and the one that hangs, on one connection.
    let mut stream = asked(&url, GET);
    reads(&mut stream, head);
    stream.write_all(GET.as_bytes()).unwrap();
    reads(&mut stream, head);
    stream.write_all(GET.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    assert!(closed_by_client());
    assert_eq!(server.requests().len(), 5, "what comes to a server that hangs is not read");

    let mut relayed = asked(&url, GET);
    reads(&mut relayed, head);
    server.send(b"more");
    reads(&mut relayed, "more");
    drop(relayed);
    assert!(closed_by_client());
}

#[test]
fn a_request_that_is_not_http_gets_no_reply() {
    let server = Server::start([Reply::raw("one")]).unwrap();
    let mut tls = asked(&server.url(), "\u{16}\u{3}\u{1}\n");
    tls.shutdown(Shutdown::Write).unwrap();
    assert_eq!(tls.read(&mut [0]).unwrap(), 0);
    assert_eq!((answered(&server.url(), GET).as_str(), server.requests().len()), ("one", 1));
}

#[test]
fn a_file_is_given_in_the_ranges_that_requests_name() {
    let file: Reply =
        serde_json::from_value(json!({ "file": "0123456789", "always": true })).unwrap();
    let server = Server::start([file]).unwrap();
    for (range, status, header, body) in [
        ("", "200", "", "0123456789"),
        ("Range: bytes=2-4\r\n", "206", "Content-Range: bytes 2-4/10\r\n", "234"),
        ("Range: bytes=8-\r\n", "206", "Content-Range: bytes 8-9/10\r\n", "89"),
        ("Range: bytes=8-99\r\n", "206", "Content-Range: bytes 8-9/10\r\n", "89"),
        ("Range: bytes=10-99\r\n", "416", "Content-Range: bytes */10\r\n", ""),
        ("Range: bytes=4-2\r\n", "416", "Content-Range: bytes */10\r\n", ""),
    ] {
        let length = body.len();
        assert_eq!(
            answered(&server.url(), &format!("GET /a HTTP/1.1\r\n{range}\r\n")),
            format!(
                "HTTP/1.1 {status} As Scripted\r\nContent-Length: {length}\r\n{header}\r\n{body}"
            )
        );
    }
}

#[test]
fn a_reply_that_contradicts_itself_is_refused() {
    for (written, wrong) in [
        (json!({}), "either"),
        (json!({ "answer": "", "file": "" }), "either"),
        (json!({ "answer": "", "then": "floods" }), "again and again"),
        (json!({ "answer": "", "flood": "x" }), "again and again"),
        (json!({ "answer": "", "then": "explodes" }), "unknown variant"),
        (json!({ "answer": { "base64": "????" } }), "Invalid symbol"),
        (json!({ "answer": "", "status": 200 }), "unknown field"),
    ] {
        let error = serde_json::from_value::<Reply>(written.clone()).unwrap_err().to_string();
        assert!(error.contains(wrong), "{written}: {error}");
    }
    let script: Script =
        serde_json::from_value(json!({ "replies": [{ "answer": "", "then": "hangs" }] })).unwrap();
    assert_eq!((&script.replies[..], script.events.is_none()), (&[Reply::hangs()][..], true));
}
