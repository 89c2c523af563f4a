//! Log lines for programs: JSON, each with the request or the job that it is of.

use meetbot::{JobStatus, NewJob, Request};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, client, create_key, meetbot, run};

/// The value of a field, where the line or its span has it.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line[name].as_str().or_else(|| line["span"][name].as_str())
}

#[test]
fn every_line_is_json_with_the_request_or_the_job_that_it_is_of() {
    let data = TempDir::new().unwrap();
    let mut command = meetbot();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"])
        .arg(data.path())
        .env("MEETBOT_LOG", "info,meetbot_orchestrator=debug,meetbot_bot=debug");
    let (server, started) = Running::start(&mut command);
    let url = started["url"].as_str().unwrap();
    let (key, _) = create_key(data.path(), &[]);
    let client = client(url, &key);
    let asked = Request::new("GET", "/api/v1/jobs?limit=1").unwrap();
    client.request(asked.header("X-Request-Id", "trace-me").unwrap()).unwrap();
    // One whose bot loses its meeting on the way, and one whose bot crashes.
    let jobs = ["network-loss?seconds=3", "bot-crashes?seconds=3"].map(|scenario| {
        let meeting_url = format!("https://sandbox.meetbot.dev/{scenario}");
        client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
    });
    for job in &jobs {
        let ended = client.wait_for_bot(job, None).unwrap();
        assert_eq!(ended.status, JobStatus::Completed, "{ended:#?}");
    }
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));

    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let with = |message: &str| {
        let found: Vec<&Value> = lines
            .iter()
            .filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message)))
            .collect();
        assert!(!found.is_empty(), "{message:?} is not logged: {log}");
        found
    };
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let answered = with("answered");
    assert!(answered.iter().all(|line| field(line, "request").is_some()), "{answered:?}");
    assert!(answered.iter().any(|line| field(line, "request") == Some("trace-me")), "{answered:?}");
    for (message, job) in [
        ("a bot is launched", &jobs[0]),
        ("the meeting is lost", &jobs[0]),
        ("a bot was lost", &jobs[1]),
        ("a bot crashed", &jobs[1]),
        ("a bug", &jobs[1]),
    ] {
        let lines = with(message);
        assert!(lines.iter().any(|line| field(line, "job") == Some(job)), "{message}: {lines:?}");
    }
    assert!(!log.contains(&key), "the key shows");
}

#[test]
fn a_format_that_is_not_known_is_a_wrong_command_line() {
    let said = run(meetbot().args(["serve", "--log-format", "xml"]));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("neither text nor json"), "{said:?}");
}
