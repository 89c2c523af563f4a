//! `meetbot migrate`: what the API answers is the same before and after, and jobs go on.

use std::{path::Path, process::Command};

use meetbot::{JobStatus, ListBots, NewJob, Request, blocking::MeetBot};
use meetbot_testkit::scripted::Receiver;
use serde_json::Value;
use tempfile::TempDir;
use xtask::postgres::Postgres;

use crate::{
    backup_rounds::{dispatch, of_job, recordings},
    kills::{far_ahead, grown},
    load::wait_until,
    program::{
        CommandOutput, PATIENCE, await_job, client, create, create_key, manifest_of, meetbot,
        mix_reported, run, serve, serve_with,
    },
};

fn migrate(data: &Path, store: &str, more: &[&str]) -> CommandOutput {
    run(meetbot()
        .args(["migrate", "--from", "sqlite", "--json", "--store", store, "--data-dir"])
        .arg(data)
        .args(more))
}

/// A response, without the parts that reading it changes.
fn answer(client: &MeetBot, path: &str) -> Value {
    let answer = client.request(Request::new("GET", path).unwrap()).unwrap();
    let mut answer = serde_json::from_slice(answer.body()).unwrap();
    without_last_use(&mut answer);
    answer
}

fn without_last_use(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("lastUsedAt");
            fields.values_mut().for_each(without_last_use);
        }
        Value::Array(values) => values.iter_mut().for_each(without_last_use),
        _ => {}
    }
}

/// Everything that a consumer and an operator can read of ended jobs.
fn answers(consumer: &MeetBot, operator: &MeetBot, jobs: &[String]) -> Vec<Value> {
    let mut all: Vec<Value> = jobs.iter().map(|id| of_job(consumer, id)).collect();
    for id in jobs {
        if consumer.get_bot(id).unwrap().unwrap().manifest_uri.is_some() {
            all.push(answer(consumer, &format!("/api/v1/jobs/{id}/manifest")));
        }
    }
    for path in ["/api/v1/jobs?limit=200", "/api/v1/webhooks/deliveries?limit=200", "/api/v1/usage"]
    {
        all.push(answer(consumer, path));
    }
    for path in ["/api/v1/admin/keys", "/api/v1/admin/consumers"] {
        all.push(answer(operator, path));
    }
    all
}

#[test]
fn responses_are_equal_after_a_migration_and_a_meeting_continues() {
    let database = Postgres::start();
    database.sql("postgres", &["CREATE DATABASE meetbot", "CREATE DATABASE other"]);
    let store = database.url("meetbot");
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let (operator, _) =
        create("--live", data.path(), &["--consumer", "ops", "--scope", "operator"]);
    let (busy, _) = create_key(data.path(), &["--consumer", "busy \\ ünïcode"]);
    let limit = run(meetbot()
        .args(["consumers", "limit", "default", "--queued", "500", "--data-dir"])
        .arg(data.path()));
    assert_eq!(limit.code, Some(0), "{limit:?}");
    let one = client(&url, &key);
    let mut receiver = Receiver::start([410]).unwrap();
    let mut jobs = vec![
        dispatch(&one, "ends?seconds=1", Some(&receiver.url)),
        dispatch(&one, "no-such-meeting", Some("http://127.0.0.1:9/hook?a=1")),
    ];
    for id in &jobs {
        one.wait_for_bot(id, Some(PATIENCE)).unwrap();
    }
    mix_reported(&one, &jobs[0]);
    receiver.wait();
    wait_until(|| match of_job(&one, &jobs[0])[1].to_string() {
        deliveries if deliveries.contains("pending") => Err(deliveries),
        _ => Ok(()),
    });
    let named = NewJob { external_id: Some("C:\\path \\0 ü".to_owned()), ..far_ahead() };
    jobs.push(one.dispatch_bot(named.clone()).unwrap().id);
    let cancelled = one.dispatch_bot(far_ahead()).unwrap().id;
    one.cancel_bot(&cancelled).unwrap();
    jobs.push(cancelled);
    // A meeting that is under way when the server dies.
    let other = client(&url, &busy);
    let running = dispatch(&other, "two-speakers?seconds=20", None);
    await_job(&other, &running, |job| job.status == JobStatus::Recording);
    grown(&data.path().join(format!("recordings/{running}/e1")), 2_000);
    // The first try at the port where nobody listens is in the ledger.
    wait_until(|| match of_job(&one, &jobs[1])[1][0]["tries"].as_array() {
        Some(tries) if !tries.is_empty() => Ok(()),
        tries => Err(format!("{tries:?}")),
    });

    let output = migrate(data.path(), &store, &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("in use"), "a server runs on it: {output:?}");
    server.kill();
    // A paused server sends nothing and starts nothing, so that its responses do not change.
    let frozen = TempDir::new().unwrap();
    let copy = frozen.path().join("copy.db");
    let output = run(meetbot().args(["backup", "--data-dir"]).arg(data.path()).arg(&copy));
    assert_eq!(output.code, Some(0), "{output:?}");
    let folder = frozen.path().join("data");
    let restored = crate::backup_rounds::restore(&copy, &folder, &["--paused"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let copied = Command::new("cp")
        .arg("-a")
        .args([data.path().join("recordings"), folder.clone()])
        .status()
        .unwrap();
    assert!(copied.success());
    let (shows, url) = serve(&folder, None);
    let before = answers(&client(&url, &key), &client(&url, &operator), &jobs);
    shows.kill();

    let files = recordings(data.path());
    let dry = migrate(data.path(), &store, &["--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert_eq!(dry.json()["rows"]["jobs"], 5, "{dry:?}");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(database.sql("meetbot", &[tables]), "0", "a dry run leaves nothing");

    let output = migrate(data.path(), &store, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.json()["rows"], dry.json()["rows"]);
    let again = migrate(data.path(), &store, &[]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("holds a server's data already"), "{again:?}");
    // A server that is started on the old folder by mistake, without the setting, has nothing to continue.
    let (old, url) = serve(data.path(), None);
    assert_eq!(client(&url, &busy).get_bot(&running).unwrap().unwrap().attempt, 1);
    assert_eq!(old.terminate(), Some(0));
    assert_eq!(recordings(data.path()), files);

    let (_server, url) = serve_with(data.path(), None, &[("MEETBOT_STORE_URL", &store)]);
    let (one, ops, other) = (client(&url, &key), client(&url, &operator), client(&url, &busy));
    let job = other.wait_for_bot(&running, Some(PATIENCE * 2)).unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    assert_eq!(manifest_of(&other, &running).attempts.len(), 2);
    // The same request by its own id finds the same job.
    assert_eq!(one.dispatch_bot(named).unwrap().id, jobs[2]);
    let after = answers(&one, &ops, &jobs);
    assert_eq!(one.bots(&ListBots::default()).count(), 4);
    for (before, after) in before.iter().zip(&after) {
        let (mut before, mut after) = (before.clone(), after.clone());
        for side in [&mut before, &mut after] {
            without_what_goes_on(side);
        }
        assert_eq!(after, before);
    }
    // Nothing of a data folder that has none.
    let empty = TempDir::new().unwrap();
    let output = migrate(empty.path(), &database.url("other"), &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("no server's database"), "{output:?}");
    let output =
        run(meetbot().args(["migrate", "--from", "sqlite", "--data-dir"]).arg(empty.path()));
    assert_eq!((output.code, output.err.contains("--store")), (Some(2), true), "{output:?}");
}

/// The failing delivery is retried, and the other consumer's meeting is over.
fn without_what_goes_on(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("state").is_some_and(|state| state == "pending") {
                for field in ["tries", "nextTryAt", "endpoint"] {
                    fields.remove(field);
                }
            }
            if fields
                .get("name")
                .is_some_and(|name| name.as_str().is_some_and(|name| name.starts_with("busy")))
            {
                fields.retain(|name, _| name == "name" || name == "id");
            }
            fields.values_mut().for_each(without_what_goes_on);
        }
        Value::Array(values) => values.iter_mut().for_each(without_what_goes_on),
        _ => {}
    }
}
