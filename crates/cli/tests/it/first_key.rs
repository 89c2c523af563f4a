//! The first start of a server: its key and its webhook secret are for the person at a terminal, and for no journal.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, create, meetbot, run};

/// All that a server prints up to a line with this word, on standard output and error together; then it is stopped by Ctrl-C.
fn printed_at_a_terminal(data: &Path, last: &str) -> String {
    terminal(data, "127.0.0.1:0", &[], last)
}

/// The same of a server that listens there, with this in its environment.
pub(crate) fn terminal(
    data: &Path,
    listen: &str,
    environment: &[(&str, &str)],
    last: &str,
) -> String {
    let program = meetbot().get_program().to_str().unwrap().to_owned();
    let data = data.to_str().unwrap();
    let serve = format!("{program} serve --listen {listen} --data-dir {data}");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &serve, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs util-linux: apt-get install util-linux");
    let mut printed = String::new();
    let mut lines = BufReader::new(terminal.stdout.take().unwrap());
    while !printed.contains(last) {
        assert!(lines.read_line(&mut printed).unwrap() > 0, "it has ended: {printed}");
    }
    terminal.stdin.as_ref().unwrap().write_all(b"\x03").unwrap();
    for line in lines.lines().map_while(Result::ok) {
        printed.push_str(&line);
    }
    terminal.wait().unwrap();
    printed
}

fn keys(data: &Path) -> usize {
    let output = run(meetbot().args(["keys", "list", "--json", "--data-dir"]).arg(data));
    assert_eq!(output.code, Some(0), "{output:?}");
    output.out.lines().count()
}

#[test]
fn without_a_terminal_no_key_is_made_and_the_command_for_one_is_printed() {
    let data = TempDir::new().unwrap();
    let (server, started) = Running::start(
        meetbot().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path()),
    );
    assert_eq!(started["key"], Value::Null, "{started}");
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(!log.contains("whsec_") && !log.contains("mb_test_"), "{log}");
    assert_eq!(keys(data.path()), 0);

    let mut command = meetbot();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut printed = String::new();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    while !printed.contains("no key yet") {
        assert!(lines.read_line(&mut printed).unwrap() > 0, "it has ended: {printed}");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let how = format!("meetbot keys create --test --data-dir {}", data.path().display());
    assert!(printed.contains(&how), "{printed}");
    assert!(!printed.contains("whsec_") && !printed.contains("mb_test_"), "{printed}");
    assert_eq!(keys(data.path()), 0);
}

#[test]
fn the_demo_prints_its_key_to_no_file() {
    let mut command = meetbot();
    command.args(["demo", "--seconds", "3", "--keep"]);
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = String::new();
    let mut lines = BufReader::new(demo.stderr.take().unwrap());
    while !stderr.contains("MEETBOT_API_BASE_URL") {
        assert!(lines.read_line(&mut stderr).unwrap() > 0, "it has ended: {stderr}");
    }
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut printed = String::new();
    demo.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{stderr}{printed}");
    assert!(
        stderr.contains("$(meetbot keys create --test --consumer demo --data-dir "),
        "{stderr}"
    );
    for text in [&stderr, &printed] {
        assert!(!text.contains("mb_test_") && !text.contains("whsec_"), "{text}");
    }
    let folder = printed.lines().find_map(|line| line.strip_prefix("The files stay in ")).unwrap();
    assert!(Path::new(folder).starts_with(std::env::temp_dir()), "{folder}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn at_a_terminal_a_new_server_prints_a_key_once() {
    let data = TempDir::new().unwrap();
    let first = printed_at_a_terminal(data.path(), "For real meetings");
    assert!(first.contains("export MEETBOT_API_KEY=mb_test_"), "{first}");
    assert!(first.contains("are signed with whsec_"), "{first}");
    let folder = format!("export MEETBOT_SERVER_DATA_DIR={}", data.path().display());
    assert!(first.contains(&folder), "{first}");
    assert!(first.contains("/#link="), "it opens the dashboard: {first}");
    assert_eq!(keys(data.path()), 1);
    let second = printed_at_a_terminal(data.path(), "serves at");
    assert!(!second.contains("mb_test_") && !second.contains("whsec_"), "{second}");
    assert!(!second.contains("/#link="), "{second}");
    assert_eq!(keys(data.path()), 1);
}

#[test]
fn a_new_consumer_gets_a_webhook_secret_also_with_a_live_key() {
    let data = TempDir::new().unwrap();
    let secret =
        |kind: &str, consumer: &str| create(kind, data.path(), &["--consumer", consumer]).1;
    let default = secret("--test", "default");
    let acme = secret("--live", "acme");
    assert_ne!(acme, default);
    assert_eq!(secret("--live", "acme"), acme, "a consumer has one");
    assert_ne!(secret("--live", "other"), acme);
}
