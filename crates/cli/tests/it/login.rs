//! `meetbot login`: the key that is approved in the dashboard, kept for the commands of this program alone.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use meetbot::{Request, blocking::MeetBot};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, create_key, meetbot, run, serve};

/// A user, with a configuration of their own.
struct User(TempDir);

impl User {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("meetbot/credentials.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meetbot();
        command.args(arguments).env("XDG_CONFIG_HOME", self.0.path());
        command
    }

    /// Logs in, approved with this key. Returns the last output of the command.
    fn log_in(&self, url: &str, key: &str, arguments: &[&str]) -> Value {
        let login = [&["login", "--server", url], arguments].concat();
        let (login, started) = Running::start(&mut self.command(&login));
        decide(url, key, &started, "approve");
        let made = login.next();
        assert_eq!(login.ended(), Some(0), "{made}");
        made
    }

    #[track_caller]
    fn output(&self, arguments: &[&str]) -> Vec<Value> {
        let output = run(self.command(arguments).arg("--json"));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Why a command fails, which ends with 2.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.command(arguments));
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        output.err
    }
}

/// Decides on a login with a key, as the dashboard does with a session.
fn decide(url: &str, key: &str, started: &Value, decision: &str) {
    let client = MeetBot::builder().base_url(url).api_key(key).build().unwrap();
    let body = json!({"userCode": started["userCode"], "decision": decision}).to_string();
    let request = Request::new("POST", "/api/v1/cli-auth/complete").unwrap().json(body);
    client.request(request).unwrap();
}

fn server() -> (Running, TempDir, String, String) {
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &["--scope", "admin"]);
    (server, data, url, key)
}

fn works(url: &str, file: &Path, profile: &str) -> bool {
    let kept: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
    let key = kept["profiles"][profile]["key"].as_str().unwrap();
    let client = MeetBot::builder().base_url(url).api_key(key).build().unwrap();
    client.usage().is_ok()
}

#[test]
fn a_login_is_stored_privately_used_by_commands_and_ended_by_logout() {
    let (server, _data, url, key) = server();
    let user = User::new();
    let made = user.log_in(&url, &key, &[]);
    assert_eq!((&made["profile"], &made["scope"]), (&json!("default"), &json!("write")));
    assert_eq!((&made["url"], &made["world"]), (&json!(url), &json!("test")));
    assert!(!made.to_string().contains("mb_test_"), "{made}");
    let open_to = fs::metadata(user.file()).unwrap().permissions().mode();
    assert_eq!(open_to & 0o777, 0o600);

    let job = user.output(&["dispatch", "https://sandbox.meetbot.dev/two-speakers?seconds=2"]);
    assert_eq!(job[0]["status"], "queued", "{job:?}");
    let usage = user.output(&["usage"]);
    assert_eq!(usage.len(), 1);
    // The key goes to its own server alone: another one gets none.
    let elsewhere = user.refused(&["usage", "--server", "http://127.0.0.1:9"]);
    assert!(elsewhere.contains("there is no API key"), "{elsewhere}");
    let elsewhere =
        user.refused(&["usage", "--profile", "default", "--server", "http://127.0.0.1:9"]);
    assert!(elsewhere.contains(&url), "{elsewhere}");
    // The environment counts before it.
    let wrong = run(user.command(&["usage", "--server", &url]).env("MEETBOT_API_KEY", "mb_test_x"));
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    // But not before a profile that is named.
    let named = run(user
        .command(&["--profile", "default", "usage"])
        .env("MEETBOT_API_KEY", "mb_test_x")
        .env("MEETBOT_API_BASE_URL", "http://127.0.0.1:9"));
    assert_eq!(named.code, Some(0), "{named:?}");
    let found = run(&mut user.command(&["doctor", "--profile", "default", "--json"]));
    assert!(found.out.contains("the server knows it"), "{found:?}");

    // A file that others can read is not used.
    fs::set_permissions(user.file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(user.refused(&["usage"]).contains("chmod 600"));
    fs::set_permissions(user.file(), fs::Permissions::from_mode(0o600)).unwrap();

    // The next login ends the key of the one before.
    let before = fs::read_to_string(user.file()).unwrap();
    user.log_in(&url, &key, &["--scope", "read"]);
    let old = user.0.path().join("old.toml");
    fs::write(&old, before).unwrap();
    assert!(!works(&url, &old, "default") && works(&url, &user.file(), "default"));
    fs::copy(user.file(), &old).unwrap();
    let out = user.output(&["logout"]);
    assert_eq!((&out[0]["profile"], &out[0]["revoked"]), (&json!("default"), &json!(true)));
    assert!(!works(&url, &old, "default"));
    assert!(user.refused(&["usage"]).contains("meetbot login"));
    assert!(user.output(&["profiles", "list"]).is_empty());
    user.refused(&["logout"]);
    drop(server);
}

#[test]
fn commands_use_the_chosen_profile_of_several_servers() {
    let (first, _one, one_url, one_key) = server();
    let (second, _two, two_url, two_key) = server();
    let user = User::new();
    user.log_in(&one_url, &one_key, &[]);
    let made = user.log_in(&two_url, &two_key, &[]);
    let host = two_url.strip_prefix("http://").unwrap();
    assert_eq!(made["profile"], host);
    let made = user.log_in(&two_url, &two_key, &["--profile", "staging"]);
    assert_eq!(made["profile"], "staging");
    let listed = user.output(&["profiles", "list"]);
    let names: Vec<_> =
        listed.iter().map(|one| (one["profile"].as_str(), &one["default"])).collect();
    let yes_no = [json!(false), json!(true)];
    assert_eq!(
        names,
        [(Some(host), &yes_no[0]), (Some("default"), &yes_no[1]), (Some("staging"), &yes_no[0])]
    );
    assert!(!format!("{listed:?}").contains("mb_test_"));

    let sandbox = "https://sandbox.meetbot.dev/two-speakers?seconds=2";
    user.output(&["dispatch", sandbox, "--profile", "staging"]);
    user.output(&["profiles", "default", "staging"]);
    let jobs = |arguments: &[&str]| user.output(&[&["jobs", "list"], arguments].concat()).len();
    assert_eq!((jobs(&[]), jobs(&["--profile", "default"])), (1, 0));
    // Where the server is named, its login is found.
    assert_eq!((jobs(&["--server", &two_url]), jobs(&["--server", &one_url])), (1, 0));
    assert!(user.refused(&["usage", "--profile", "nowhere"]).contains("staging"));
    assert!(
        user.refused(&["login", "--server", &one_url, "--profile", "a b"]).contains("--profile")
    );
    // Without a default profile a command needs `--profile`.
    user.output(&["logout"]);
    assert!(user.refused(&["usage"]).contains("--profile"));
    // Where the server is gone, the key cannot be revoked, and is forgotten all the same.
    first.kill();
    let out = user.output(&["logout", "--profile", "default"]);
    assert_eq!(out[0]["revoked"], false);
    assert_eq!(user.output(&["profiles", "list"]).len(), 1);
    drop(second);
}

#[test]
fn a_denied_or_unknown_login_stores_nothing() {
    let (server, _data, url, key) = server();
    let user = User::new();
    let (login, started) = Running::start(&mut user.command(&["login", "--server", &url]));
    decide(&url, &key, &started, "deny");
    assert_eq!(login.ended(), Some(1));
    assert!(!user.file().exists());
    // The nonce is in no log.
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(log.contains("/api/v1/cli-auth/poll/{nonce}"), "{log}");
    let code = started["userCode"].as_str().unwrap();
    assert!(!log.contains(code) && !log.contains(&code.replace('-', "")));
    assert!(user.refused(&["login"]).contains("--server"));
    let gone = run(&mut user.command(&["login", "--server", &url]));
    assert_eq!(gone.code, Some(1), "{gone:?}");
}
