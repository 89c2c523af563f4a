//! The command line itself: help, exit codes, JSON.

use crate::program::{meetbot, run};

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in
        [&["dance"][..], &["serve", "--port", "1"], &["keys", "create"], &["jobs", "get"], &[]]
    {
        let output = run(meetbot().args(arguments));
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_sandbox_in_a_separate_process_takes_a_token_that_cannot_be_guessed() {
    let beside = ["serve", "--sandbox", "ws://127.0.0.1:1", "--listen", "127.0.0.1:0"];
    for arguments in [&["sandbox", "serve", "--listen", "127.0.0.1:0"][..], &beside] {
        let with = |token: Option<&str>| {
            let mut command = meetbot();
            command.args(arguments).current_dir(std::env::temp_dir());
            token.map(|token| command.env("MEETBOT_SANDBOX_TOKEN", token));
            run(&mut command)
        };
        let without = with(None);
        assert_eq!(without.code, Some(2), "{without:?}");
        assert!(without.err.to_lowercase().contains("sandbox"), "{without:?}");
        for wrong in ["", "short-s3cret", "sixteen letters, and a space", "sixteen-letters-\u{fc}"]
        {
            let refused = with(Some(wrong));
            assert_eq!(refused.code, Some(2), "{wrong:?}: {refused:?}");
        }
    }
}

#[test]
fn a_missing_key_is_reported_with_its_variable() {
    let output = run(meetbot().args(["jobs", "list"]));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.err.contains("MEETBOT_API_KEY"), "{output:?}");
}

#[test]
fn an_unreachable_server_is_a_failed_call() {
    // Port 1 is never listened on by these tests; the connection is refused at once.
    let output = run(meetbot()
        .args(["jobs", "list", "--json"])
        .env("MEETBOT_API_KEY", "mb_test_x")
        .env("MEETBOT_API_BASE_URL", "http://127.0.0.1:1"));
    assert_eq!(output.code, Some(1), "{output:?}");
    let error: serde_json::Value = serde_json::from_str(&output.err).unwrap();
    assert!(error["error"].as_str().unwrap().contains("127.0.0.1:1"), "{output:?}");
    assert!(!output.err.contains("mb_test_x"), "the key shows: {output:?}");
}

#[test]
fn every_command_has_help() {
    for command in [
        &["demo"][..],
        &["serve"],
        &["dispatch"],
        &["watch"],
        &["jobs", "list"],
        &["jobs", "get"],
        &["jobs", "cancel"],
        &["jobs", "manifest"],
        &["jobs", "download"],
        &["jobs", "send-chat-message"],
        &["jobs", "request-permission"],
        &["jobs", "pause"],
        &["jobs", "resume"],
        &["jobs", "stop-recording"],
        &["jobs", "leave"],
        &["jobs", "delete-recording"],
        &["consumers", "list"],
        &["consumers", "limit"],
        &["dashboard"],
        &["usage"],
        &["platforms"],
        &["keys", "create"],
        &["keys", "list"],
        &["keys", "revoke"],
        &["keys", "audit"],
        &["webhooks", "list"],
        &["webhooks", "show"],
        &["webhooks", "redeliver"],
        &["webhooks", "secret"],
        &["webhooks", "secrets"],
        &["webhooks", "rotate"],
        &["webhooks", "listen"],
        &["webhooks", "verify"],
        &["backup"],
        &["restore"],
        &["migrate"],
        &["unpause"],
        &["doctor"],
        &["sandbox", "serve"],
        &["sandbox", "list"],
        &["completions"],
    ] {
        let output = run(meetbot().args(command).arg("--help"));
        assert_eq!(output.code, Some(0), "{command:?}: {output:?}");
        assert!(output.out.contains("Usage: meetbot"), "{command:?}: {output:?}");
    }
}

#[test]
fn the_exit_code_is_the_result_of_a_signature_check() {
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body");
    std::fs::write(&body, b"{\"a\":1}").unwrap();
    let header = meetbot_types::signature::sign(b"{\"a\":1}", "whsec_dGVzdA==");
    let verify = |secret: &str| {
        run(meetbot()
            .args(["webhooks", "verify", "--header", &header, "--secret", secret])
            .arg(&body))
        .code
    };
    assert_eq!(verify("whsec_dGVzdA=="), Some(0));
    assert_eq!(verify("whsec_dGVzdA==\n"), Some(0));
    assert_eq!(verify("whsec_b3RoZXI="), Some(1));
    // An invalid secret is not reported as a wrong signature.
    for wrong in ["", "dGVzdA==", "whsec_", "whsec_no base64"] {
        assert_eq!(verify(wrong), Some(2), "{wrong}");
    }
}

#[test]
fn an_unusable_proxy_of_the_environment_is_an_error_that_names_it() {
    for command in [&["jobs", "list"][..], &["usage"]] {
        let output = run(meetbot()
            .args(command)
            .env("MEETBOT_API_KEY", "mb_test_0123456789")
            .env("MEETBOT_API_BASE_URL", "http://meetbot.invalid")
            .env("http_proxy", "socks5://me:s3cret@127.0.0.1:1"));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("http_proxy") && !output.err.contains("s3cret"), "{output:?}");
    }
}

#[test]
fn a_key_sent_unencrypted_to_another_machine_gives_one_warning() {
    let warnings = |url: &str| {
        let output = run(meetbot()
            .args(["jobs", "list"])
            .env("MEETBOT_API_KEY", "mb_test_0123456789")
            .env("MEETBOT_API_BASE_URL", url)
            // No server listens there.
            .env("http_proxy", "http://127.0.0.1:1"));
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(!output.err.contains("mb_test"), "{output:?}");
        output.err.matches("plain http://").count()
    };
    assert_eq!(warnings("http://127.0.0.1:1"), 0);
    assert_eq!(warnings("http://meetbot.invalid"), 1);
}
