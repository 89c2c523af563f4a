//! The systemd unit of docs/operations.md.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{
    nginx::{block, filled_in},
    program::{Running, meetbot, run},
};

#[test]
fn systemd_accepts_the_unit_and_a_server_runs_with_it() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let program = env!("CARGO_BIN_EXE_meetbot");
    let unit = filled_in(
        &block("docs/operations.md", "ini"),
        &[
            ("ExecStart=/usr/local/bin/meetbot ", &format!("ExecStart={program} ")),
            ("DATA_DIR=/var/lib/meetbot ", &format!("DATA_DIR={} ", path("data"))),
            ("--config /etc/meetbot.toml", &format!("--config {}", path("meetbot.toml"))),
        ],
    );
    fs::write(path("meetbot.service"), &unit).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", &path("meetbot.service")])
        .output()
        .expect("this test needs systemd-analyze: apt-get install systemd");
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("meetbot.service")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");

    // As systemd would start and stop it, on a free port.
    let settings = run(meetbot().args(["serve", "--print-config"]));
    fs::write(path("meetbot.toml"), settings.out).unwrap();
    let value = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut command = meetbot();
    command.env("MEETBOT_SERVER_LISTEN", "127.0.0.1:0").env_remove("MEETBOT_LOG");
    for setting in value("Environment=").split(' ') {
        let (name, value) = setting.split_once('=').unwrap();
        command.env(name, value);
    }
    command.args(value("ExecStart=").split(' ').skip(1));
    let (server, started) = Running::start(&mut command);
    assert!(started["url"].is_string(), "{started}");
    assert!(fs::exists(folder.path().join("data/meetbot.db")).unwrap());
    assert_eq!(server.terminate(), Some(0));
}
