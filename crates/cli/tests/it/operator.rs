//! `meetbot keys|consumers|webhooks … --server URL`: the same as on the data folder, with a key of an operator.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{CommandOutput, create_key, meetbot, run, serve};

/// A running server, its data folder and a key with this scope.
struct OperatedServer {
    _server: crate::program::Running,
    data: TempDir,
    url: String,
    key: String,
}

impl OperatedServer {
    fn start() -> Self {
        let data = TempDir::new().unwrap();
        let (server, url) = serve(data.path(), None);
        let key = live_key(data.path(), "operator");
        Self { _server: server, data, url, key }
    }

    fn on_folder(&self, arguments: &[&str]) -> CommandOutput {
        run(meetbot().args(arguments).arg("--data-dir").arg(self.data.path()))
    }

    fn by_server(&self, arguments: &[&str]) -> CommandOutput {
        self.by_server_with(&self.key, arguments)
    }

    fn by_server_with(&self, key: &str, arguments: &[&str]) -> CommandOutput {
        run(meetbot()
            .args(arguments)
            .args(["--server", &self.url])
            .env("MEETBOT_API_KEY", key)
            // They say nothing to a command that is given --server.
            .env("MEETBOT_API_BASE_URL", "http://127.0.0.1:1")
            .env("MEETBOT_SERVER_DATA_DIR", "/nowhere"))
    }

    /// What is printed both ways, which has to be the same.
    #[track_caller]
    fn same(&self, arguments: &[&str]) -> CommandOutput {
        let mut both = Vec::new();
        for more in [&[][..], &["--json"]] {
            let arguments = [arguments, more].concat();
            let (folder, server) = (self.on_folder(&arguments), self.by_server(&arguments));
            assert_eq!(folder.code, Some(0), "{arguments:?}: {folder:?}");
            assert_eq!(server.code, Some(0), "{arguments:?}: {server:?}");
            assert_eq!(stable(&server.out), stable(&folder.out), "{arguments:?}");
            assert_eq!(stable(&server.err), stable(&folder.err), "{arguments:?}");
            both.push(server);
        }
        both.remove(0)
    }
}

fn live_key(data: &Path, scope: &str) -> String {
    let create = ["keys", "create", "--live", "--json", "--consumer", "ops", "--scope", scope];
    let output = run(meetbot().args(create).arg("--data-dir").arg(data));
    output.json()["key"].as_str().unwrap().to_owned()
}

/// Without what differs from call to call: ids, keys, secrets, times.
fn stable(text: &str) -> String {
    let random = |word: &str| {
        let word = word.trim_start_matches(['"', '[', '{']);
        ["key_", "mb_live_", "mb_test_", "whsec_"].iter().any(|prefix| word.contains(prefix))
            || (word.contains("20") && word.contains('T') && word.contains('Z'))
    };
    let words = text.split_inclusive([' ', ',', '\n']);
    let words = words.map(|word| if random(word) { "*" } else { word.trim_end() });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_command_prints_the_same_by_server_and_on_the_data_folder() {
    let ops = OperatedServer::start();
    create_key(ops.data.path(), &["--consumer", "acme"]);
    create_key(ops.data.path(), &["--consumer", "zebra"]);
    for kind in [
        &["--live", "--scope", "read", "--expires", "2099-01-31"][..],
        &["--test", "--scope", "admin"],
        &["--live", "--scope", "operator", "--json"],
    ] {
        let created = |way: &str| {
            let consumer = format!("{way}-{}", kind[2]);
            let arguments = [&["keys", "create", "--consumer", &consumer], kind].concat();
            let output =
                if way == "folder" { ops.on_folder(&arguments) } else { ops.by_server(&arguments) };
            assert_eq!(output.code, Some(0), "{way}: {output:?}");
            let shown = format!("{}{}", output.out, output.err);
            assert!(shown.contains("mb_") && shown.contains("whsec_"), "{way}: {output:?}");
            stable(&shown).replace(&consumer, "CONSUMER")
        };
        assert_eq!(created("server"), created("folder"), "{kind:?}");
    }
    // When the operator's own key was used last is written a moment later.
    let is_noted = || {
        let keys = ops.on_folder(&["keys", "list", "--json"]).out;
        let mut keys = keys.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        keys.any(|key| key["lastUsedAt"].is_string())
    };
    assert!((0..600).any(|_| is_noted()), "the last use is written");
    let listed = ops.same(&["keys", "list"]);
    assert!(listed.out.contains("operator") && listed.out.contains("zebra"), "{listed:?}");
    ops.same(&["consumers", "list"]);
    ops.same(&["consumers", "limit", "acme", "--bots", "3", "--minutes", "none"]);
    let limited = ops.same(&["consumers", "limit", "acme", "--bots", "default"]);
    assert!(limited.out.contains("acme may have any number of bots"), "{limited:?}");
    let labelled = ops.same(&["consumers", "limit", "acme", "--labels", "eu,fast"]);
    assert!(labelled.out.contains("only workers with the labels eu,fast"), "{labelled:?}");
    assert!(ops.same(&["consumers", "list"]).out.contains("eu,fast"));
    let any = ops.same(&["consumers", "limit", "acme", "--labels", ""]);
    assert!(!any.out.contains("labels"), "{any:?}");
    ops.same(&["webhooks", "secrets"]);
    let rotated = ops.same(&["webhooks", "rotate", "--consumer", "zebra", "--overlap", "0"]);
    assert!(rotated.err.contains("no longer valid"), "{rotated:?}");
    ops.same(&["webhooks", "secrets"]);

    let key = ops.on_folder(&["keys", "create", "--test", "--json"]).json();
    ops.same(&["keys", "revoke", key["id"].as_str().unwrap()]);
    // The lines of the last calls are written a moment later; what was refused is the same all the time.
    let refused = ops.by_server_with(&live_key(ops.data.path(), "admin"), &["keys", "list"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let lines = || ops.by_server(&["keys", "audit", "--refused", "--json"]).out;
    let lines = (0..600).map(|_| lines()).find(|lines| !lines.is_empty()).expect("a line");
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["path"], "/api/v1/admin/keys");
    let key = line["key"].as_str().unwrap();
    ops.same(&["keys", "audit", "--refused", "--key", key]);
    ops.same(&["keys", "audit", "--refused", "--limit", "1"]);
    ops.same(&["keys", "audit", "--limit", "0"]);
}

#[test]
fn invalid_calls_are_refused_alike_by_server_and_on_the_data_folder() {
    let ops = OperatedServer::start();
    let both = |arguments: &[&str]| [ops.on_folder(arguments), ops.by_server(arguments)];
    for (arguments, code, message) in [
        (&["keys", "revoke", "key_01KAB1CDEFGHJKMNPQRSTVWXYZ"][..], 1, "there is no key"),
        (&["keys", "revoke", "nonsense"], 2, "nonsense"),
        (&["keys", "create", "--live", "--consumer", " "], 2, "--consumer"),
        (&["keys", "create", "--test", "--scope", "operator"], 2, "give --live"),
        (&["keys", "create", "--live", "--scope", "root"], 2, "possible values"),
        (&["consumers", "limit", "nobody", "--bots", "1"], 2, "there is no consumer \"nobody\""),
        (&["consumers", "limit", "ops", "--labels", "EU"], 2, "\"EU\" is not a label"),
        (&["webhooks", "rotate", "--consumer", "nobody"], 2, "there is no consumer \"nobody\""),
    ] {
        for output in both(arguments) {
            assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
            assert!(output.err.contains(message), "{arguments:?}: {output:?}");
        }
    }
    for output in
        both(&["webhooks", "rotate", "--consumer", "ops", "--overlap", "1h"]).into_iter().skip(1)
    {
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("a rotation is under way until"), "{output:?}");
    }
    // The last operator's key goes on the server's machine only.
    let listed = ops.on_folder(&["keys", "list", "--json"]).out;
    let keys = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = keys.into_iter().find(|key| key["scope"] == "operator").unwrap();
    let own = ["keys", "revoke", own["id"].as_str().unwrap()];
    let kept = ops.by_server(&own);
    assert!(kept.code == Some(1) && kept.err.contains("make another one first"), "{kept:?}");

    // A key that is not an operator's, none at all, a server that is not there, a place that is two.
    for key in [live_key(ops.data.path(), "admin"), create_key(ops.data.path(), &[]).0] {
        let output = ops.by_server_with(&key, &["consumers", "list"]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("meetbot keys create --live --scope operator"), "{output:?}");
        assert!(output.err.contains("this needs"), "{output:?}");
    }
    let none = run(meetbot().args(["keys", "list", "--server", &ops.url]));
    assert!(none.code == Some(2) && none.err.contains("export MEETBOT_API_KEY"), "{none:?}");
    let two = run(meetbot().args(["keys", "list", "--server", &ops.url, "--data-dir", "x"]));
    assert!(two.code == Some(2) && two.err.contains("cannot be used with"), "{two:?}");
    let path = format!("{}/api/v1/jobs", ops.url);
    let output =
        run(meetbot().args(["keys", "list", "--server", &path]).env("MEETBOT_API_KEY", &ops.key));
    assert!(output.code == Some(1) && output.err.contains("--server is not its URL"), "{output:?}");
    let secret = ops.by_server(&["webhooks", "secret"]);
    assert!(
        secret.code == Some(2) && secret.err.contains("shows a webhook secret once"),
        "{secret:?}"
    );
    let gone = ops.on_folder(&own);
    assert_eq!(gone.code, Some(0), "{gone:?}");
}

#[test]
fn a_key_for_an_existing_consumer_does_not_show_its_webhook_secret() {
    let ops = OperatedServer::start();
    let (_, secret) = create_key(ops.data.path(), &["--consumer", "acme"]);
    let create = ["keys", "create", "--live", "--consumer", "acme"];
    let output = ops.by_server(&create);
    assert!(
        output.code == Some(0) && output.err.contains("keeps its webhook secret"),
        "{output:?}"
    );
    assert!(!format!("{output:?}").contains("whsec_"), "{output:?}");
    let json = ops.by_server(&[&create[..], &["--json"]].concat()).json();
    assert_eq!(json["webhookSecret"], Value::Null, "{json}");
    // With access to the data folder the secret can be read there anyway.
    let output = ops.on_folder(&create);
    assert!(output.err.contains(&secret), "{output:?}");
}

#[test]
fn changes_with_the_operators_key_take_effect_at_once() {
    let ops = OperatedServer::start();
    let made = ops.by_server(&["keys", "create", "--test", "--consumer", "acme", "--json"]).json();
    let key = made["key"].as_str().unwrap();
    // `--server` is what `--base-url` is for commands that always ask a server.
    let usage = ops.by_server_with(key, &["usage", "--json"]);
    assert_eq!(usage.json()["maxBots"], Value::Null, "{usage:?}");
    let limit = ops.by_server(&["consumers", "limit", "acme", "--bots", "2"]);
    assert_eq!(limit.code, Some(0), "{limit:?}");
    assert_eq!(ops.by_server_with(key, &["usage", "--json"]).json()["maxBots"], 2);
    let revoked = ops.by_server(&["keys", "revoke", made["id"].as_str().unwrap()]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let refused = ops.by_server_with(key, &["usage"]);
    assert!(refused.code == Some(1) && refused.err.contains("unauthorized"), "{refused:?}");
}
