//! Workers for the bots of one pool.

use meetbot::{JobStatus, Request};
use serde_json::Value;

use super::{Setup, dispatch};
use crate::program::{Running, await_job, client, create, run};

const BROWSERS: (&str, &str) = ("MEETBOT_BOTS_BROWSER_ENABLED", "true");

#[test]
fn a_worker_gets_no_jobs_of_another_pool() {
    let setup = Setup::new();
    let settings = [
        (BROWSERS.0, BROWSERS.1.to_owned()),
        ("MEETBOT_BOTS_BROWSER_BINARY", "/nonexistent/chromium".to_owned()),
    ];
    let (_server, url) = setup.serve_with(0, &settings);
    let refused = run(&mut setup.worker_command(&url, &["--pools", "browser"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("bots.browser.enabled"), "{refused:?}");
    let refused = run(&mut setup.worker_command(&url, &["--pools", "gpu"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let refused = run(&mut setup.worker_command(&url, &[]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("--pools native"), "{refused:?}");
    // The settings say what can be joined, though no machine has a browser.
    let live = client(&url, &create("--live", setup.data.path(), &["--scope", "admin"]).0);
    let platforms = live.request(Request::new("GET", "/api/v1/platforms").unwrap()).unwrap();
    let platforms: Value = serde_json::from_slice(platforms.body()).unwrap();
    let meet = platforms["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["platform"] == "google-meet")
        .unwrap();
    assert_eq!(meet["joinable"], true, "{platforms:#}");

    let client = setup.client(&url);
    let mut browsers = setup.worker_command(&url, &["--pools", "browser"]);
    let (browsers, _) = Running::start(browsers.env(BROWSERS.0, BROWSERS.1));
    let id = dispatch(&client, 1);
    let _native = setup.worker(&url, &["--pools", "native"]);
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    let (code, log) = browsers.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(!log.contains("a bot was given"), "{log}");
}
