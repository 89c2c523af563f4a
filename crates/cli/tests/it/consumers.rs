//! `meetbot consumers` and `meetbot usage`: limits are given and shown while the server runs.

use std::path::Path;

use meetbot::{ErrorCode, JobStatus, NewJob};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{CommandOutput, await_job, client, create_key, meetbot, run, serve};

/// `meetbot consumers …` on this data folder.
fn consumers(data: &Path, arguments: &[&str]) -> CommandOutput {
    run(meetbot().arg("consumers").args(arguments).arg("--data-dir").arg(data))
}

#[test]
fn a_changed_limit_applies_at_once_and_is_shown() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &["--consumer", "acme"]);
    let mb = client(&url, &key);
    let output =
        consumers(data.path(), &["limit", "acme", "--bots", "1", "--minutes", "60", "--json"]);
    let limits = json!({"consumer": "acme", "maxBots": 1, "maxMinutes": 60, "maxQueuedJobs": 10_000, "workerLabels": []});
    assert_eq!(output.json(), limits);
    let dispatch = || {
        let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=600".to_owned();
        mb.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
    };
    let first = dispatch();
    await_job(&mb, &first, |job| job.status == JobStatus::Recording);
    let second = dispatch();
    await_job(&mb, &second, |job| job.status_detail.as_deref() == Some("at_bot_limit"));

    let output = run(meetbot()
        .args(["usage", "--json"])
        .env("MEETBOT_API_KEY", &key)
        .env("MEETBOT_API_BASE_URL", &url));
    let usage = output.json();
    assert_eq!(usage["bots"], 1, "{usage}");
    assert_eq!((&usage["maxBots"], &usage["maxMinutes"]), (&json!(1), &Value::Null), "{usage}");
    let listed = consumers(data.path(), &["list", "--json"]).out;
    let acme = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let acme = acme.into_iter().find(|one| one["consumer"] == "acme").unwrap();
    let expected = json!({
        "consumer": "acme", "maxBots": 1, "maxMinutes": 60, "maxQueuedJobs": 10_000, "workerLabels": [],
        "live": {"bots": 0, "minutes": 0, "queuedJobs": 0, "recordingBytes": 0},
        "test": {"bots": 1, "minutes": 1, "queuedJobs": 1, "recordingBytes": 0},
    });
    assert_eq!(acme, expected);
    let output = consumers(data.path(), &["list"]);
    assert!(output.out.contains("0 of 60") && output.out.contains("1 of 1"), "{output:?}");

    let output = consumers(data.path(), &["limit", "acme", "--queued", "1"]);
    assert!(output.out.contains("60 minutes in a month and 1 job in the queue"), "{output:?}");
    let meeting_url = "https://sandbox.meetbot.dev/two-speakers".to_owned();
    let refused = mb.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap_err();
    assert_eq!(refused.code(), Some(&ErrorCode::QuotaExceeded), "{refused}");
    let output = consumers(data.path(), &["limit", "acme", "--bots", "none"]);
    assert!(output.out.contains("any number of bots at the same time, 60 minutes"), "{output:?}");
    await_job(&mb, &second, |job| job.status == JobStatus::Recording);
}

#[test]
fn an_invalid_limit_is_a_usage_error() {
    let data = TempDir::new().unwrap();
    create_key(data.path(), &[]);
    for wrong in
        [&["limit", "nobody", "--bots", "1"][..], &["limit", "x"], &["limit", "x", "--bots", "0"]]
    {
        let output = consumers(data.path(), wrong);
        assert_eq!(output.code, Some(2), "{wrong:?}: {output:?}");
    }
}
