//! A database is dumped and restored with PostgreSQL's programs, as the page describes it, and inspected before its server goes on.

use std::{fs, path::Path, process::Command, time::Duration};

use meetbot::JobStatus;
use tempfile::TempDir;
use xtask::{postgres::Postgres, spec_file};

use super::serve_on;
use crate::{
    backup_rounds::{dispatch, of_job},
    program::{CommandOutput, await_job, client, meetbot, mix_reported, run, serve_with},
};

/// The commands of the page, for this PostgreSQL and this folder of backups.
fn page(database: &Postgres, kept: &Path) -> Vec<String> {
    let page = fs::read_to_string(spec_file::path("docs/operations.md")).unwrap();
    let section = page.split_once("\n## PostgreSQL\n").unwrap().1.split("\n## ").next().unwrap();
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let server = database.url("");
    let fill = |line: &str| {
        line.replace("postgres://meetbot@db.example.com/", &server)
            .replace("/backup", kept.to_str().unwrap())
    };
    block.lines().map(fill).collect()
}

fn typed(line: &str) -> CommandOutput {
    let program = std::path::PathBuf::from(meetbot().get_program());
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    run(Command::new("sh").args(["-ec", line]).env("PATH", path))
}

fn ready(store: &str, more: &[&str]) -> CommandOutput {
    run(meetbot().args(["restore", "--json", "--store", store]).args(more))
}

#[test]
fn a_restored_dump_has_all_jobs_and_starts_nothing_until_it_is_unpaused() {
    let (data, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let database = Postgres::start();
    database.sql("postgres", &["CREATE DATABASE meetbot", "CREATE DATABASE empty"]);
    let commands = page(&database, kept.path());
    let [dump, create, restore, prepare] = &commands[..] else { panic!("{commands:?}") };
    let (server, url, key, _) = serve_on(&data, &database.url("meetbot"), &[]);
    let first = client(&url, &key);
    let webhook = Some("http://127.0.0.1:9/");
    let done = dispatch(&first, "two-speakers?seconds=1", webhook);
    first.wait_for_bot(&done, None).unwrap();
    mix_reported(&first, &done);
    let running = dispatch(&first, "two-speakers?seconds=600", None);
    await_job(&first, &running, |job| job.status == JobStatus::Recording);
    let output = typed(dump);
    assert_eq!(output.code, Some(0), "{output:?}");
    let after = dispatch(&first, "ends?seconds=1", None);
    first.wait_for_bot(&after, None).unwrap();
    let manifest = crate::program::manifest_of(&first, &done);

    let output = ready(&database.url("meetbot"), &["--paused"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("another meetbot server"), "{output:?}");
    let output = ready(&database.url("empty"), &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("pg_restore"), "{output:?}");
    server.kill();

    for line in [create, restore, prepare] {
        let output = typed(line);
        assert_eq!(output.code, Some(0), "{line}: {output:?}");
    }
    let store = database.url("meetbot_restored");
    let output = ready(&store, &[]);
    assert_eq!(
        (&output.json()["paused"], &output.json()["running"], &output.json()["jobs"]),
        (&true.into(), &1.into(), &2.into()),
        "it stays paused"
    );
    let (server, url) = serve_with(data.path(), None, &[("MEETBOT_STORE_URL", &store)]);
    let next = client(&url, &key);
    assert!(next.get_bot(&after).unwrap().is_none());
    assert_eq!(crate::program::manifest_of(&next, &done), manifest);
    let before = of_job(&next, &done);
    let new = dispatch(&next, "ends?seconds=1", webhook);
    // The dispatcher and the sender look every five seconds at least, and a failed webhook is tried again after five.
    std::thread::park_timeout(Duration::from_secs(6));
    for id in [&running, &new] {
        let job = next.get_bot(id).unwrap().unwrap();
        assert_eq!((&job.status, job.attempt > 1), (&JobStatus::Queued, false), "{job:#?}");
    }
    assert_eq!(of_job(&next, &done), before, "nothing is sent");
    let output = run(meetbot().args(["unpause", "--json", "--store", &store]));
    assert_eq!(output.json()["wasPaused"], true, "{output:?}");
    let job = next.wait_for_bot(&new, None).unwrap();
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    await_job(&next, &running, |job| job.attempt == 2 && job.status == JobStatus::Recording);
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(log.contains("meetbot unpause --store"), "{log}");
}

#[test]
fn a_restore_that_ends_running_jobs_joins_no_meeting_again() {
    let (data, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let database = Postgres::start();
    database.sql("postgres", &["CREATE DATABASE meetbot"]);
    let (server, url, key, _) = serve_on(&data, &database.url("meetbot"), &[]);
    let lobby = dispatch(&client(&url, &key), "nobody-admits", None);
    await_job(&client(&url, &key), &lobby, |job| {
        job.status_detail.as_deref() == Some("waiting_room")
    });
    for line in &page(&database, kept.path())[..3] {
        let output = typed(line);
        assert_eq!(output.code, Some(0), "{line}: {output:?}");
    }
    server.kill();
    let store = database.url("meetbot_restored");
    let output = ready(&store, &["--end-running"]);
    assert_eq!((&output.json()["jobs"], output.code), (&1.into(), Some(0)), "{output:?}");
    let (_server, url) = serve_with(data.path(), None, &[("MEETBOT_STORE_URL", &store)]);
    let job = client(&url, &key).get_bot(&lobby).unwrap().unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Failed, 1), "no other bot joins: {job:#?}");
}
