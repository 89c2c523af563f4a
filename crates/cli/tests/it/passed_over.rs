//! What a server passed over is told on standard error.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::Value;

use crate::program::{meetbot, run};

/// A server that takes one job and names what it passed over; answers its URL.
fn older_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let body = r#"{"id":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","status":"queued"}"#;
        let head = "HTTP/1.1 201 Created\r\nX-Meetbot-Ignored: autoLeave.onBotDetected\r\nConnection: close";
        write!(&stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    url
}

#[test]
fn what_a_server_passed_over_is_a_warning_beside_the_result() {
    for json in [false, true] {
        let mut dispatch = meetbot();
        dispatch.env("MEETBOT_API_KEY", "mb_test_0123456789").env_remove("MEETBOT_LOG");
        dispatch.args([
            "dispatch",
            "https://sandbox.meetbot.dev/two-speakers",
            "--on-bot-detected",
        ]);
        dispatch.args(["--base-url", &older_server()]).args(json.then_some("--json"));
        let said = run(&mut dispatch);
        assert_eq!(said.code, Some(0), "{said:?}");
        let warning = said.err.lines().find(|line| line.contains("autoLeave.onBotDetected"));
        let warning = warning.unwrap_or_else(|| panic!("no warning: {said:?}"));
        assert!(warning.contains("WARN") && warning.contains("passed them over"), "{warning}");
        if json {
            for line in said.err.lines().chain(said.out.lines()) {
                serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            }
        }
    }
}
