//! Fields that a server ignored are a warning on standard error.

use meetbot_testkit::scripted::{Reply, Server};
use serde_json::Value;

use crate::program::{meetbot, run};

/// A server that takes one job and names what it passed over.
fn older_server() -> Server {
    let ignored = [("X-Meetbot-Ignored", "autoLeave.onBotDetected")];
    let body = r#"{"id":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","status":"queued"}"#;
    Server::start([Reply::answer(201, &ignored, body)]).unwrap()
}

#[test]
fn fields_that_a_server_ignored_are_a_warning() {
    for json in [false, true] {
        let server = older_server();
        let mut dispatch = meetbot();
        dispatch.env("MEETBOT_API_KEY", "mb_test_0123456789").env_remove("MEETBOT_LOG");
        dispatch.args([
            "dispatch",
            "https://sandbox.meetbot.dev/two-speakers",
            "--on-bot-detected",
        ]);
        dispatch.args(["--base-url", &server.url()]).args(json.then_some("--json"));
        let output = run(&mut dispatch);
        assert_eq!(output.code, Some(0), "{output:?}");
        let warning = output.err.lines().find(|line| line.contains("autoLeave.onBotDetected"));
        let warning = warning.unwrap_or_else(|| panic!("no warning: {output:?}"));
        assert!(warning.contains("WARN") && warning.contains("passed them over"), "{warning}");
        if json {
            for line in output.err.lines().chain(output.out.lines()) {
                serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            }
        }
    }
}
