//! What goes wrong at the command line and around the server: a clear error each time, and nothing lost.

use std::net::TcpListener;

use tempfile::TempDir;

use crate::program::{create_key, meetbot, run, serve};

#[test]
fn a_port_that_is_taken_is_named() {
    let data = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        run(meetbot().args(["serve", "--listen", &address, "--data-dir"]).arg(data.path()));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains(&address) && output.err.contains("--listen"), "{output:?}");
}

#[test]
fn a_data_folder_in_use_is_named() {
    let data = TempDir::new().unwrap();
    let (_server, _) = serve(data.path(), None);
    let output =
        run(meetbot().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path()));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.err.contains(data.path().to_str().unwrap()) && output.err.contains("in use"),
        "{output:?}"
    );
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("a-file");
    std::fs::write(&file, b"not a folder").unwrap();
    let output = run(meetbot().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&file));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains(file.to_str().unwrap()), "{output:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a folder");
}

#[test]
fn a_folder_without_a_servers_data_is_named_and_stays_as_it_is() {
    let data = TempDir::new().unwrap();
    let id = "key_01KAB1CDEFGHJKMNPQRSTVWXYZ";
    for command in [
        &["keys", "list"] as &[&str],
        &["keys", "revoke", id],
        &["keys", "audit"],
        &["consumers", "list"],
        &["consumers", "limit", "default", "--bots", "1"],
        &["keys", "create", "--test"],
        &["webhooks", "secret"],
        &["webhooks", "rotate"],
        &["unpause"],
    ] {
        let output = run(meetbot().args(command).arg("--data-dir").arg(data.path()));
        assert_eq!(output.code, Some(1), "{command:?}: {output:?}");
        assert!(output.err.contains(data.path().to_str().unwrap()), "{command:?}: {output:?}");
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    // A key may be there before its server.
    let create = || {
        let mut command = meetbot();
        run(command.args(["keys", "create", "--test", "--init", "--data-dir"]).arg(data.path()))
    };
    let output = create();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.err.contains("made a new data folder"), "{output:?}");
    assert!(!create().err.contains("made a new data folder"));
}

#[test]
fn settings_are_read_from_the_same_file_by_the_server_and_the_commands_beside_it() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("the data");
    let config = home.path().join("op.toml");
    let text = format!("[server]\ndata_dir = {:?}\n", data.display());
    std::fs::write(&config, &text).unwrap();
    let with = |arguments: &[&str]| run(meetbot().args(arguments).env("MEETBOT_CONFIG", &config));
    let output = with(&["keys", "create", "--test", "--init"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(data.join("meetbot.db").exists());
    for command in [&["keys", "list"][..], &["consumers", "list"], &["webhooks", "secret"]] {
        assert_eq!(with(command).code, Some(0), "{command:?}");
        let mut flag = meetbot();
        let output = run(flag.args(command).arg("--config").arg(&config));
        assert_eq!(output.code, Some(0), "{output:?}");
        // The folder has no server's address, and the variable of the SDKs does no harm.
        let output = run(meetbot().args(command).args(["--base-url", "http://127.0.0.1:1"]));
        assert_eq!(output.code, Some(2), "{output:?}");
        let output = run(meetbot().args(["--base-url", "http://127.0.0.1:1"]).args(command));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("this command has no --base-url"), "{output:?}");
    }
    std::fs::write(&config, format!("{text}[bots]\nmaximum = 3\n")).unwrap();
    for command in [&["serve"][..], &["keys", "list"], &["webhooks", "secret"]] {
        let output = with(command);
        assert_eq!(output.code, Some(2), "{output:?}");
        let message = format!(
            "{}:4: there is no setting bots.maximum; did you mean bots.max?",
            config.display()
        );
        assert!(output.err.contains(&message), "{output:?}");
    }
    let output = run(meetbot().arg("serve").env("MEETBOT_BOTS_MAXX", "3"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.err.contains("did you mean MEETBOT_BOTS_MAX?"), "{output:?}");
}

#[test]
fn an_empty_webhook_secret_is_reported() {
    for command in [&["webhooks", "listen"][..], &["webhooks", "verify", "--header", "sha256=00"]] {
        let output = run(meetbot().args(command).env("MEETBOT_WEBHOOK_SECRET", ""));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("is empty: `meetbot webhooks secret`"), "{output:?}");
    }
}

#[test]
fn an_invisible_character_in_a_webhook_secret_is_named() {
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for command in [&["webhooks", "listen"][..], &["webhooks", "verify", "--header", "sha256=00"]] {
        let pasted = format!("\u{200b}{secret}");
        let output = run(meetbot().args(command).env("MEETBOT_WEBHOOK_SECRET", pasted));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("holds U+200B as its character 1,"), "{output:?}");
    }
    // A byte order mark is passed over: the signature is judged.
    let mut verify = meetbot();
    verify.args(["webhooks", "verify", "--header", "sha256=00"]);
    let output = run(verify.env("MEETBOT_WEBHOOK_SECRET", format!("\u{feff}{secret}")));
    assert!(output.code == Some(1) && output.out.contains("NOT right"), "{output:?}");
}

#[test]
fn a_key_works_at_once_and_not_after_it_is_revoked() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, secret) = create_key(data.path(), &["--consumer", "acme"]);
    assert!(secret.starts_with("whsec_"));
    let list = || {
        run(meetbot()
            .args(["jobs", "list", "--json"])
            .env("MEETBOT_API_KEY", &key)
            .env("MEETBOT_API_BASE_URL", &url))
    };
    assert_eq!(list().code, Some(0), "{:?}", list());
    let keys = run(meetbot().args(["keys", "list", "--json", "--data-dir"]).arg(data.path()));
    assert!(!keys.out.contains(&key), "the key shows: {keys:?}");
    let id = keys
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|key| key["consumer"] == "acme")
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let revoked = run(meetbot().args(["keys", "revoke", &id, "--data-dir"]).arg(data.path()));
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    // Contract: revocation takes effect within a second.
    let refused = (0..10).map(|_| {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        list()
    });
    let refused = refused
        .into_iter()
        .find(|output| output.code == Some(1))
        .expect("a revoked key still works");
    assert!(refused.err.contains("unauthorized"), "{refused:?}");

    // The key is named in the audit log, and not shown.
    let audit = || {
        run(meetbot()
            .args(["keys", "audit", "--refused", "--json", "--key", &id, "--data-dir"])
            .arg(data.path()))
    };
    let audit_output =
        (0..600).map(|_| audit()).find(|output| !output.out.is_empty()).expect("a line");
    assert!(!audit_output.out.contains(&key), "the key shows: {audit_output:?}");
    let line: serde_json::Value =
        serde_json::from_str(audit_output.out.lines().next().unwrap()).unwrap();
    assert_eq!((&line["path"], &line["error"]), (&"/api/v1/jobs".into(), &"unauthorized".into()));
}

#[test]
fn a_meeting_that_cannot_be_joined_is_refused_with_a_hint() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let dispatch = |meeting: &str| {
        run(meetbot()
            .args(["dispatch", meeting])
            .env("MEETBOT_API_KEY", &key)
            .env("MEETBOT_API_BASE_URL", &url))
    };
    for (meeting, word) in [
        ("not-a-url", "https://meet.google.com/abc-defg-hij"),
        ("https://example.com/room", "google-meet"),
        ("https://sandbox.meetbot.dev/no-such-scenario", "two-speakers"),
    ] {
        let output = dispatch(meeting);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains(word) && output.err.contains("meetingUrl"), "{output:?}");
    }
}

#[test]
fn the_expiry_of_a_key_is_shown() {
    let data = TempDir::new().unwrap();
    let create = |when: &str| {
        run(meetbot()
            .args(["keys", "create", "--test", "--init", "--json", "--expires", when, "--data-dir"])
            .arg(data.path()))
    };
    for wrong in ["soon", "0d", "2001-01-01"] {
        let output = create(wrong);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("--expires"), "{output:?}");
    }
    let made = create("2999-12-31");
    assert_eq!(made.json()["expiresAt"], "2999-12-31T00:00:00.000Z", "{made:?}");
    let listed = run(meetbot().args(["keys", "list", "--data-dir"]).arg(data.path()));
    assert!(listed.out.contains("2999-12-31"), "{listed:?}");
}
