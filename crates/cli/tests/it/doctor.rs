//! `meetbot doctor`: on a machine without a server, beside one that runs, and on settings and folders that do not fit.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{CommandOutput, create_key, meetbot, run, serve};

/// A port that nobody listens on.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn doctor(data_dir: &Path, more: &[&str]) -> CommandOutput {
    let mut command = meetbot();
    command.args(["doctor", "--json", "--data-dir"]).arg(data_dir).args(more);
    run(&mut command)
}

/// The state of a check, what was found, and what to do.
#[track_caller]
pub(crate) fn check(output: &CommandOutput, name: &str) -> (String, String, Value) {
    let report = output.json();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == name);
    let check = check.unwrap_or_else(|| panic!("{name} is not checked: {report}"));
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("state"), text("found"), check["do"].clone())
}

#[test]
fn doctor_passes_and_changes_nothing_without_a_server() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("data");
    let output = doctor(&data, &["--listen", &free_port()]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.json()["ok"], true);
    for name in ["config", "data folder", "port", "udp", "server", "chromium"] {
        assert_eq!(check(&output, name).0, "ok", "{name}: {output:?}");
    }
    for name in ["disk space", "open files", "clock", "ffmpeg"] {
        assert_ne!(check(&output, name).0, "fail", "{name}: {output:?}");
    }
    assert!(!data.exists());
    // The same for people: a line for each.
    let output = run(meetbot().args(["doctor", "--listen", &free_port(), "--data-dir"]).arg(&data));
    assert!(output.out.contains("ok    data folder "), "{output:?}");
}

#[test]
fn doctor_asks_a_running_server() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let listen = url.strip_prefix("http://").unwrap();
    let (key, _) = create_key(data.path(), &[]);
    let with_key = |key: &str| {
        let mut command = meetbot();
        command.args(["doctor", "--json", "--listen", listen, "--data-dir"]).arg(data.path());
        run(command.env("MEETBOT_API_KEY", key))
    };
    let output = with_key(&key);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(check(&output, "data folder").1.contains("a server runs on it"), "{output:?}");
    assert!(check(&output, "port").1.contains("the running server's"), "{output:?}");
    for name in ["server", "ready", "key", "database"] {
        assert_eq!(check(&output, name).0, "ok", "{name}: {output:?}");
    }
    // It connects as every other command: to other machines through the proxy of the environment, to this one directly.
    let beside = |proxy: &str, more: &[&str]| {
        let mut command = meetbot();
        command.args(["doctor", "--json", "--listen", listen, "--data-dir"]).arg(data.path());
        command.args(more).env("MEETBOT_API_KEY", &key);
        let output = run(command.env("http_proxy", proxy).env("ALL_PROXY", proxy));
        assert!(!output.out.contains("s3cret"), "{output:?}");
        check(&output, "server")
    };
    let elsewhere = ["--base-url", "http://meetbot.invalid"];
    let (state, found, _) = beside("http://me:s3cret|@127.0.0.1:1", &elsewhere);
    assert_eq!(state, "fail", "{found}");
    assert!(found.contains("through the proxy http://127.0.0.1:1/"), "{found}");
    let unusable = "socks5://me:s3cret@127.0.0.1:1";
    assert!(beside(unusable, &elsewhere).1.contains("http_proxy"));
    assert_eq!(beside(unusable, &[]).0, "ok");
    let output = with_key("mb_test_nobody");
    assert_eq!((output.code, check(&output, "key").0.as_str()), (Some(1), "fail"), "{output:?}");
    assert!(!output.out.contains("mb_test_nobody"), "the key shows: {output:?}");
    server.kill();
    let output = doctor(data.path(), &["--listen", listen, "--base-url", &url]);
    assert_eq!((output.code, check(&output, "server").0.as_str()), (Some(1), "fail"), "{output:?}");
}

#[test]
fn doctor_recognises_a_server_with_another_data_folder() {
    let [data, elsewhere] = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (_server, url) = serve(data.path(), None);
    let output = doctor(elsewhere.path(), &["--listen", url.strip_prefix("http://").unwrap()]);
    assert_eq!((output.code, check(&output, "server").0.as_str()), (Some(1), "ok"), "{output:?}");
    let (state, found, remedy) = check(&output, "port");
    assert_eq!(state, "fail", "{output:?}");
    assert!(found.contains("a meetbot server with another data folder listens on"), "{found}");
    let remedy = remedy.as_str().unwrap();
    assert!(remedy.contains("--data-dir") && !remedy.contains("stop it"), "{remedy}");
}

#[test]
fn failed_checks_have_a_remedy() {
    let data = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = doctor(data.path(), &["--listen", &listen]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let (state, found, remedy) = check(&output, "port");
    assert_eq!(state, "fail");
    assert!(found.contains(&listen) && remedy.as_str().unwrap().contains("server.listen"));

    let config = data.path().join("config.toml");
    fs::write(&config, "[server]\nlissten = \"x\"").unwrap();
    let output = doctor(data.path(), &["--config", config.to_str().unwrap()]);
    let (state, found, _) = check(&output, "config");
    assert_eq!((output.code, state.as_str()), (Some(1), "fail"));
    assert!(found.contains("server.lissten"), "{found}");

    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(data.path().join("meetbot.db"), b"not a database at all, only some text").unwrap();
    let output = doctor(data.path(), &["--listen", &free_port()]);
    assert_eq!(check(&output, "data folder").0, "warn", "{output:?}");
    assert_eq!(check(&output, "database").0, "fail", "{output:?}");
    assert_eq!(output.code, Some(1));
}

#[test]
fn missing_requirements_of_browsers_fail_only_if_browsers_are_enabled() {
    let folder = TempDir::new().unwrap();
    let with = |settings: &[(&str, &str)]| {
        let mut command = meetbot();
        command.args(["doctor", "--json", "--listen", &free_port(), "--data-dir"]);
        command.arg(folder.path().join("data"));
        // Nothing is on this path.
        run(command.env("PATH", folder.path()).envs(settings.iter().copied()))
    };
    let off = with(&[]);
    assert_eq!((off.code, check(&off, "chromium").0.as_str()), (Some(0), "ok"), "{off:?}");
    let on = ("MEETBOT_BOTS_BROWSER_ENABLED", "true");
    let output = with(&[on]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for remedy in ["apt-get install chromium", "apt-get install util-linux"] {
        assert!(output.out.contains(remedy), "{remedy}: {output:?}");
    }
    assert_eq!(check(&output, "landmarks").0, "ok", "{output:?}");
    let nowhere = ("MEETBOT_BOTS_BROWSER_LANDMARKS_DIR", "/no/such/folder");
    let (state, found, _) = check(&with(&[on, nowhere]), "landmarks");
    assert_eq!(state, "fail", "{found}");
    assert!(found.contains("bots.browser.landmarks_dir: /no/such/folder"), "{found}");
}

#[test]
fn a_server_does_not_start_with_landmarks_that_hold_a_mistake() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("google-meet.toml"), "version = \"1\"\ncolour = 1\n").unwrap();
    let mut command = meetbot();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"));
    command.env("MEETBOT_BOTS_BROWSER_ENABLED", "true");
    command.env("MEETBOT_BOTS_BROWSER_LANDMARKS_DIR", folder.path());
    let output = run(&mut command);
    assert_eq!(output.code, Some(1), "{output:?}");
    for word in ["bots.browser.landmarks_dir", "google-meet.toml", "colour"] {
        assert!(output.err.contains(word), "{word}: {output:?}");
    }
}
