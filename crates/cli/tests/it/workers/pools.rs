//! Workers for the bots of one pool.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use meetbot::{JobStatus, NewJob, Request, blocking::MeetBot};
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

#[test]
fn a_server_takes_only_as_many_jobs_for_browsers_as_it_has_browsers() {
    let setup = Setup::new();
    let browser = silent_browser(&setup).to_str().unwrap().to_owned();
    let settings = [
        ("MEETBOT_BOTS_WORKERS", "own".to_owned()),
        (BROWSERS.0, BROWSERS.1.to_owned()),
        ("MEETBOT_BOTS_BROWSER_BINARY", browser),
        ("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true".to_owned()),
        ("MEETBOT_BOTS_BROWSER_MAX", "1".to_owned()),
    ];
    let (server, url) = setup.serve_with(0, &settings);
    let key = create("--live", setup.data.path(), &["--scope", "admin"]).0;
    let live = client(&url, &key);
    let [first, second] = [(); 2].map(|()| dispatch_to_google_meet(&live));
    await_job(&live, &first, |job| job.status == JobStatus::Joining);
    let runs_native = |url: &str| {
        let test = setup.client(url);
        let id = dispatch(&test, 1);
        let job = await_job(&test, &id, |job| job.status.is_final());
        assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    };
    let waits = |live: &MeetBot| {
        let waiting = live.get_bot(&second).unwrap().unwrap();
        assert_eq!(waiting.status, JobStatus::Queued, "{waiting:#?}");
    };
    runs_native(&url);
    waits(&live);
    // The bot with the browser lives on, and the next server counts it.
    server.kill();
    let (_server, url) = setup.serve_with(0, &settings);
    let live = client(&url, &key);
    runs_native(&url);
    waits(&live);
    live.cancel_bot(&first).unwrap();
    await_job(&live, &second, |job| job.status == JobStatus::Joining);
    live.cancel_bot(&second).unwrap();
    await_job(&live, &second, |job| job.status.is_final());
}

/// A program in place of Chromium that starts and then never answers, so that its bot stays `joining`.
fn silent_browser(setup: &Setup) -> PathBuf {
    let program = setup.data.path().join("silent-browser");
    let text = "#!/bin/sh\n[ \"$1\" = --version ] && exec echo Chromium 150.0.1.1\nexec tail -f /dev/null\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    program
}

fn dispatch_to_google_meet(client: &MeetBot) -> String {
    let meeting_url = "https://meet.google.com/abc-defg-hij".to_owned();
    client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
}

#[test]
fn a_worker_takes_only_as_many_jobs_for_browsers_as_it_has_browsers() {
    let setup = Setup::new();
    let (_server, url) = setup.serve_with(0, &[(BROWSERS.0, BROWSERS.1.to_owned())]);
    let live = client(&url, &create("--live", setup.data.path(), &["--scope", "admin"]).0);
    let worker = || {
        let mut command = setup.worker_command(&url, &[]);
        command
            .env(BROWSERS.0, BROWSERS.1)
            .env("MEETBOT_BOTS_BROWSER_BINARY", silent_browser(&setup))
            .env("MEETBOT_BOTS_BROWSER_NO_SANDBOX", "true")
            .env("MEETBOT_BOTS_BROWSER_MAX", "1");
        Running::start(&mut command).0
    };
    let [first, second] = [(); 2].map(|()| dispatch_to_google_meet(&live));
    let one = worker();
    await_job(&live, &first, |job| job.status == JobStatus::Joining);
    // It has room for other bots, and claims again.
    let test = setup.client(&url);
    let id = dispatch(&test, 1);
    let job = await_job(&test, &id, |job| job.status.is_final());
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    let waiting = live.get_bot(&second).unwrap().unwrap();
    assert_eq!(waiting.status, JobStatus::Queued, "{waiting:#?}");
    // Another worker has a browser.
    let other = worker();
    await_job(&live, &second, |job| job.status == JobStatus::Joining);
    // Once its bot has ended, a worker has room for a browser again.
    let third = dispatch_to_google_meet(&live);
    live.cancel_bot(&first).unwrap();
    await_job(&live, &third, |job| job.status == JobStatus::Joining);
    for id in [second, third] {
        live.cancel_bot(&id).unwrap();
    }
    for worker in [one, other] {
        assert_eq!(worker.terminate(), Some(0));
    }
}
