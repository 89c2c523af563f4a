//! The text output of the commands about jobs, against a real server.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
};

use meetbot::{Job, JobStatus};
use meetbot_testkit::polling::poll_until;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{
    CommandOutput, PATIENCE, Running, create_key, create_live_key, meetbot, run, serve_with,
};

/// A server, and a key of it.
struct TestServer {
    _server: Running,
    data: TempDir,
    url: String,
    key: String,
}

fn test_server(settings: &[(&str, &str)]) -> TestServer {
    let data = TempDir::new().unwrap();
    let (server, url) = serve_with(data.path(), None, settings);
    let (key, _) = create_key(data.path(), &[]);
    TestServer { _server: server, data, url, key }
}

impl TestServer {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meetbot();
        command.args(arguments);
        command.env("MEETBOT_API_KEY", &self.key).env("MEETBOT_API_BASE_URL", &self.url);
        command
    }

    #[track_caller]
    fn output(&self, arguments: &[&str]) -> CommandOutput {
        let output = run(&mut self.command(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output
    }

    fn job(&self, named: &str) -> Job {
        serde_json::from_str(&self.output(&["jobs", "get", named, "--json"]).out).unwrap()
    }

    /// Asks until the recording is like this.
    fn await_recording(&self, named: &str, state: &str) {
        poll_until(PATIENCE, || {
            let known = known_state(&self.job(named));
            (known == state)
                .then_some(())
                .ok_or_else(|| format!("the recording of {named} is {known}"))
        });
    }

    /// Follows a job in the background; answers the line in which it says this.
    fn watch_until(&self, named: &str, word: &str) -> String {
        let mut command = self.command(&["watch", named]);
        let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
        let found = lines.into_iter().find(|line| line.contains(word));
        let _ = watch.kill();
        let _ = watch.wait();
        found.unwrap_or_else(|| panic!("watch never says {word}"))
    }
}

fn known_state(job: &Job) -> String {
    job.recording.state.as_ref().map(ToString::to_string).unwrap_or_default()
}

const LONG: &str = "https://sandbox.meetbot.dev/two-speakers?seconds=3600";

/// Whether a line begins with a moment.
fn is_dated(line: &str) -> bool {
    line.split(' ').next().unwrap().parse::<meetbot::Timestamp>().is_ok()
}

#[test]
fn a_link_to_the_dashboard_is_printed_or_its_absence_is_reported() {
    let test_server = test_server(&[]);
    let made = test_server.output(&["dashboard", "--json"]).json();
    let url = made["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/#link=", test_server.url)), "{made}");
    assert!(!url.contains(&test_server.key[8..]), "{made}");
    let printed = test_server.output(&["dashboard", "--print"]);
    assert!(printed.out.starts_with(&format!("{}/#link=", test_server.url)), "{printed:?}");
    let without = self::test_server(&[("MEETBOT_DASHBOARD_ENABLED", "false")]);
    let output = run(&mut without.command(&["dashboard"]));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("there is nothing at /api/v1/sessions/links"), "{output:?}");
}

#[test]
fn each_command_accepts_an_external_id() {
    let test_server = test_server(&[]);
    let id = test_server.output(&["dispatch", LONG, "--external-id", "lesson 1/a"]).out;
    let id = id.trim();
    test_server.watch_until("lesson 1/a", "recording");
    for (verb, recording) in
        [("pause", "paused"), ("resume", "on"), ("stop-recording", "stopped"), ("leave", "stopped")]
    {
        let output = test_server.output(&["jobs", verb, "lesson 1/a"]);
        assert!(output.out.contains(": the job is "), "{verb}: {output:?}");
        test_server.await_recording("lesson 1/a", recording);
        if verb == "resume" {
            let output =
                test_server.output(&["jobs", "send-chat-message", "lesson 1/a", "hello there"]);
            assert!(output.out.starts_with("send_chat_message "), "{output:?}");
            test_server.output(&["jobs", "chat", id, "hello again"]);
            let output = test_server.output(&["jobs", "request-permission", "lesson 1/a"]);
            assert!(output.out.starts_with("request_recording_permission "), "{output:?}");
        }
    }
    let output = test_server.output(&["watch", "lesson 1/a"]);
    assert!(output.out.contains(&format!("{id} completed")), "{output:?}");
    let manifest: Value =
        serde_json::from_str(&test_server.output(&["jobs", "manifest", "lesson 1/a"]).out).unwrap();
    assert_eq!(manifest["jobId"], id);

    let folder = test_server.data.path().join("downloaded");
    let mut download = test_server.command(&["jobs", "download", "lesson 1/a", "--json"]);
    let output = run(download.arg(&folder));
    assert_eq!(output.code, Some(0), "{output:?}");
    let files = output.json()["files"].as_array().unwrap().clone();
    let files: Vec<&Path> = files.iter().map(|file| Path::new(file.as_str().unwrap())).collect();
    assert!(files.iter().all(|file| file.exists()) && files.len() > 3, "{output:?}");

    // Without a folder, one that is named like the job.
    let here = TempDir::new().unwrap();
    let output = run(test_server.command(&["jobs", "download", id]).current_dir(here.path()));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(here.path().join(id).join("manifest.json").exists(), "{output:?}");

    let output = test_server.output(&["jobs", "delete-recording", "lesson 1/a"]);
    assert!(output.out.contains("manifest.json ("), "{output:?}");
    for arguments in [&["jobs", "get", "nobody's"][..], &["watch", "nobody's"]] {
        let output = run(&mut test_server.command(arguments));
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("the id or the external id nobody's"), "{output:?}");
    }
}

#[test]
fn dispatching_a_known_external_id_reports_that_there_is_no_new_bot() {
    let test_server = test_server(&[]);
    let first = test_server.output(&["dispatch", LONG, "--external-id", "lesson-1"]);
    assert!(!first.err.contains("no new bot"), "{first:?}");
    let other = "https://sandbox.meetbot.dev/ends?seconds=3600";
    let again = test_server.output(&["dispatch", other, "--external-id", "lesson-1"]);
    assert_eq!(again.out, first.out);
    assert!(again.err.contains("no new bot") && again.err.contains(LONG), "{again:?}");
    test_server.output(&["jobs", "cancel", "lesson-1"]);
}

#[test]
fn a_test_key_is_noted_to_use_the_sandbox() {
    let test_server = test_server(&[]);
    let note = "test key: no bot joins this meeting";
    let real = test_server.output(&["dispatch", "https://meet.google.com/abc-defg-hij"]);
    assert!(real.err.contains(note), "{real:?}");
    let ends = "https://sandbox.meetbot.dev/ends?seconds=1";
    let sandbox = test_server.output(&["dispatch", ends]);
    assert!(!sandbox.err.contains(note), "{sandbox:?}");
    let live = create_live_key(test_server.data.path());
    let live = run(test_server.command(&["dispatch", ends]).env("MEETBOT_API_KEY", live));
    assert_eq!(live.code, Some(0), "{live:?}");
    assert!(!live.err.contains(note), "{live:?}");
}

#[test]
fn watch_prints_at_once_what_a_queued_job_waits_for() {
    let test_server = test_server(&[("MEETBOT_LIMITS_BOTS_PER_CONSUMER", "1")]);
    test_server.output(&["dispatch", LONG, "--external-id", "first"]);
    test_server.watch_until("first", "recording");
    test_server.output(&["dispatch", LONG, "--external-id", "second"]);
    let line = test_server.watch_until("second", "queued");
    assert!(is_dated(&line) && line.ends_with("queued (at_bot_limit)"), "{line}");
    let later = ["--external-id", "later", "--join-at", "2100-01-01T00:00:00Z"];
    let output = run(test_server.command(&["dispatch", LONG]).args(later));
    // A year ahead at most.
    assert_eq!(output.code, Some(1), "{output:?}");
    test_server.output(&["jobs", "cancel", "first"]);
    test_server.output(&["jobs", "cancel", "second"]);
}

#[test]
fn each_end_is_dated_and_billed_only_if_the_meeting_was_joined() {
    let test_server = test_server(&[]);
    let denied = "https://sandbox.meetbot.dev/host-denies?denyAfter=0";
    let output = run(&mut test_server.command(&["dispatch", denied, "--watch"]));
    assert_eq!(output.code, Some(1), "{output:?}");
    let dated: Vec<&str> = output.out.lines().filter(|line| is_dated(line)).collect();
    assert!(dated.last().unwrap().ends_with(" failed"), "{output:?}");
    assert!(output.out.contains("not billed"), "{output:?}");
    let output =
        test_server.output(&["dispatch", "https://sandbox.meetbot.dev/ends?seconds=1", "--watch"]);
    let dated: Vec<&str> = output.out.lines().filter(|line| is_dated(line)).collect();
    assert!(dated.last().unwrap().ends_with(" completed"), "{output:?}");
}

#[test]
fn a_parameter_that_the_sandbox_does_not_have_is_refused() {
    let test_server = test_server(&[]);
    let wrong = "https://sandbox.meetbot.dev/two-speakers?secs=3";
    let output = run(&mut test_server.command(&["dispatch", wrong]));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("no parameter \"secs\"; it has seconds, speakers"), "{output:?}");
}

#[test]
fn webhooks_of_a_job_are_found_by_its_external_id() {
    let test_server = test_server(&[]);
    let meeting = "https://sandbox.meetbot.dev/no-such-meeting";
    let hook = ["--on-finalize", "http://127.0.0.1:1/hook", "--external-id", "lesson-1"];
    let output = run(test_server.command(&["dispatch", meeting, "--watch"]).args(hook));
    assert_eq!(output.code, Some(1), "{output:?}");
    let listed = test_server.output(&["webhooks", "list", "--job", "lesson-1", "--json"]);
    let delivery: Value = serde_json::from_str(listed.out.lines().next().unwrap()).unwrap();
    assert_eq!(delivery["jobId"], test_server.job("lesson-1").id);
    assert_eq!(test_server.job("lesson-1").status, JobStatus::Failed);
    let redelivered =
        test_server.output(&["webhooks", "redeliver", delivery["id"].as_str().unwrap()]);
    assert!(redelivered.err.contains("1 delivery is sent again"), "{redelivered:?}");
}

#[test]
fn live_or_test_is_required_for_a_key() {
    let help = run(meetbot().args(["keys", "create", "--help"]));
    assert!(help.out.contains("<--live|--test>"), "{help:?}");
    let output = run(meetbot().args(["keys", "create"]));
    assert!(output.code == Some(2) && output.err.contains("<--live|--test>"), "{output:?}");
    let output = run(meetbot().args(["keys", "create", "--live", "--test"]));
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[test]
fn the_base_url_may_be_before_or_after_a_command() {
    let test_server = test_server(&[]);
    let nobody = "http://127.0.0.1:9";
    let listed = |arguments: &[&str]| {
        run(test_server.command(arguments).env("MEETBOT_API_BASE_URL", nobody)).code
    };
    let url = test_server.url.as_str();
    for command in [&["jobs", "list"][..], &["usage"], &["webhooks", "list"]] {
        let before = ["--base-url", url];
        assert_eq!(listed(&[&before[..], command].concat()), Some(0), "{command:?}");
        assert_eq!(listed(&[command, &before[..]].concat()), Some(0), "{command:?}");
        let both = [&["--base-url", nobody][..], command, &before[..]].concat();
        assert_eq!(listed(&both), Some(0), "{command:?}");
    }
    let bundle = run(&mut test_server.command(&["--ca-bundle", "/no/such/file", "jobs", "list"]));
    assert!(bundle.err.contains("--ca-bundle /no/such/file"), "{bundle:?}");
    let refused = run(&mut test_server.command(&["--ca-bundle", "/no/such/file", "keys", "list"]));
    assert!(refused.err.contains("this command has no --ca-bundle"), "{refused:?}");
    assert_eq!(refused.code, Some(2));
}

#[test]
fn help_names_completions_certificates_and_keys() {
    let help = |arguments: &[&str]| run(meetbot().args(arguments).arg("--help")).out;
    assert!(help(&["completions"]).contains("source <(meetbot completions bash), in ~/.bashrc"));
    assert!(help(&["jobs", "list"]).contains("--ca-bundle"));
    assert!(help(&["jobs", "list"]).contains("SSL_CERT_FILE"));
    let webhooks = help(&["webhooks"]);
    assert!(webhooks.contains("secret, secrets and rotate work on its data folder"), "{webhooks}");
    let key = run(meetbot().args(["jobs", "list"]));
    assert!(key.code == Some(2) && key.err.contains("meetbot keys create --test"), "{key:?}");
    let empty = run(meetbot().args(["jobs", "list"]).env("MEETBOT_API_KEY", " "));
    assert!(empty.code == Some(2) && empty.err.contains("meetbot keys create --test"), "{empty:?}");
}

#[test]
fn only_the_options_of_the_connection_are_listed_under_its_heading() {
    for command in ["dispatch", "watch", "login", "dashboard", "doctor"] {
        let help = run(meetbot().args([command, "--help"])).out;
        let (_, listed) = help.split_once("Connection (").unwrap_or_else(|| panic!("{help}"));
        let listed = listed.split("\n\n").next().unwrap();
        let options: Vec<_> = listed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("--")?.split(' ').next())
            .collect();
        assert_eq!(options, ["base-url", "ca-bundle", "profile"], "{command}: {help}");
        assert!(!listed.contains("\n  [") && !listed.contains("\n  <"), "{command}: {help}");
    }
}

/// What a command prints on a terminal of so many columns.
fn on_a_terminal(columns: usize, arguments: &str) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_meetbot");
    let line = format!("stty rows 24 cols {columns}; {program} {arguments}");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs util-linux: apt-get install util-linux");
    let mut printed = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(0), "{printed}");
    printed.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn tables_fit_the_terminal() {
    for columns in [80, 132] {
        let lines = on_a_terminal(columns, "sandbox list");
        let fits = lines.iter().all(|line| line.chars().count() <= columns);
        assert!(fits && lines.len() > 30, "{columns}: {lines:#?}");
    }
    let wide = on_a_terminal(300, "sandbox list");
    let piped = run(meetbot().args(["sandbox", "list"]));
    assert_eq!(wide, piped.out.lines().collect::<Vec<_>>());
}
