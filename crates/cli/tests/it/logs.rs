//! Log lines in JSON, each with its request or job.

use std::process::Stdio;

use meetbot::{JobStatus, NewJob, Request};
use meetbot_testkit::polling::poll_until;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    first_key::terminal,
    program::{PATIENCE, Running, client, create_key, meetbot, run},
};

/// The value of a field, where the line or its span has it.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line[name].as_str().or_else(|| line["span"][name].as_str())
}

#[test]
fn every_log_line_is_json_with_its_request_or_job() {
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
fn all_output_of_a_server_is_json_and_the_documented_command_finds_a_jobs_lines() {
    let data = TempDir::new().unwrap();
    let (printed, path) = xtask::test_log::create("printed");
    let mut command = meetbot();
    command.args(["serve", "--listen", "0.0.0.0:0", "--log-format", "json", "--data-dir"]);
    command.arg(data.path()).stdin(Stdio::null());
    let mut server = command.stdout(printed.try_clone().unwrap()).stderr(printed).spawn().unwrap();
    let read = || std::fs::read_to_string(&path).unwrap();
    let url = poll_until(PATIENCE, || {
        let text = read();
        let line = text.lines().find(|line| line.contains("meetbot serves"));
        let line: Option<Value> = line.and_then(|line| serde_json::from_str(line).ok());
        line.and_then(|line| Some(line["url"].as_str()?.to_owned())).ok_or("it does not serve")
    });
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let jobs = ["ends?seconds=1", "no-such-meeting"].map(|scenario| {
        let meeting_url = format!("https://sandbox.meetbot.dev/{scenario}");
        client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
    });
    for job in &jobs {
        client.wait_for_bot(job, None).unwrap();
    }
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
    let text = read();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for message in ["meetbot serves", "no key yet", "plain HTTP", "stopping"] {
        let logged = |line: &Value| line["message"].as_str().is_some_and(|it| it.contains(message));
        assert!(lines.iter().any(logged), "{message:?} is not logged: {text}");
    }
    let end = |job: &str| {
        let ends = |line: &&Value| line["message"] == "job ended" && line["job"] == job;
        let found: Vec<&Value> = lines.iter().filter(ends).collect();
        assert_eq!(found.len(), 1, "{job} ends once: {text}");
        found[0].clone()
    };
    let (good, bad) = (end(&jobs[0]), end(&jobs[1]));
    assert_eq!((&good["status"], &good["minutes"]), (&"completed".into(), &1.into()), "{good}");
    assert_eq!(good["leave_reason"], "meeting_ended", "{good}");
    assert!(good["duration_ms"].as_u64().unwrap() >= 900, "{good}");
    assert_eq!((&bad["status"], &bad["minutes"]), (&"failed".into(), &0.into()), "{bad}");
    assert_eq!(bad["failure_code"], "meeting_not_found", "{bad}");

    // The page's own command, with the journal in place of what asks for it.
    let page = std::fs::read_to_string(xtask::spec_file::path("docs/operations.md")).unwrap();
    let (_, filter) = page.split_once("journalctl -u meetbot -o cat | ").unwrap();
    let filter = filter.lines().next().unwrap().replace("job_…", &jobs[0]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-ec", &format!("cat \"$0\" | {filter}")]).arg(&path);
    let output = run(&mut shell);
    assert_eq!(output.code, Some(0), "this test needs jq: apt-get install jq: {output:?}");
    assert!(
        output.out.contains("a bot is launched") && output.out.contains("job ended"),
        "{output:?}"
    );
    assert!(!output.out.contains(&jobs[1]), "{output:?}");
}

#[test]
fn a_failed_start_is_reported_in_json() {
    let data = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let serve = |more: &[&str]| {
        let mut command = meetbot();
        command.args(["serve", "--log-format", "json", "--data-dir"]).arg(data.path());
        run(command.args(more))
    };
    for (more, code) in [
        (&["--listen", &listen][..], 1),
        (&["--listen", "nowhere"], 2),
        (&["--dev", "--listen", "0.0.0.0:0"], 2),
        (&["--config", "/no/such/file"], 1),
    ] {
        let output = serve(more);
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(!output.err.is_empty() && output.out.is_empty(), "{output:?}");
        for line in output.err.lines() {
            let line: Result<Value, _> = serde_json::from_str(line);
            assert!(line.is_ok(), "{output:?}");
        }
    }
}

#[test]
fn an_unknown_log_level_is_refused() {
    let data = TempDir::new().unwrap();
    for command in [&["serve", "--data-dir"][..], &["keys", "list", "--data-dir"]] {
        let output = run(meetbot().args(command).arg(data.path()).env("MEETBOT_LOG", "debgu"));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("there is no level \"debgu\""), "{output:?}");
    }
}

#[test]
fn a_log_at_a_terminal_has_colours_unless_the_environment_disables_them() {
    let coloured = |environment: &[(&str, &str)]| {
        let data = TempDir::new().unwrap();
        let printed = terminal(data.path(), "0.0.0.0:0", environment, "plain HTTP");
        assert!(printed.contains("serves at http://0.0.0.0:"), "{printed}");
        printed.contains("\u{1b}[")
    };
    assert!(coloured(&[]));
    assert!(!coloured(&[("NO_COLOR", "1")]));
    assert!(!coloured(&[("TERM", "dumb")]));
}

#[test]
fn an_unknown_format_is_a_usage_error() {
    let output = run(meetbot().args(["serve", "--log-format", "xml"]));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.err.contains("neither text nor json"), "{output:?}");
}
