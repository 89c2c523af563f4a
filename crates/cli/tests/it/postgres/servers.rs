//! Two servers on one database: the second is refused, and one that woke up after another took its place ends.

use meetbot::{JobStatus, NewJob};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::postgres::Postgres;

use super::serve_on;
use crate::program::{PATIENCE, await_job, client, meetbot, run, serve_with};

#[test]
fn a_second_server_is_refused_until_the_first_has_been_silent() {
    let database = Postgres::start();
    let store = database.url("postgres");
    let (data, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, url, key, _) = serve_on(&data, &store, &[]);
    let one = client(&url, &key);
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=5".to_owned(),
        ..NewJob::default()
    };
    let id = one.dispatch_bot(new).unwrap().id;
    let done = one.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!(done.status, JobStatus::Completed, "{done:#?}");

    let output = run(meetbot()
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store, "--data-dir"])
        .arg(other.path()));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("another meetbot server"), "{output:?}");
    assert!(one.get_bot(&id).unwrap().is_some(), "the first goes on");

    // It does not answer, as on a machine that is suspended.
    let pid = Pid::from_child(&first.child);
    kill_process(pid, Signal::STOP).unwrap();
    let (_second, url) = serve_with(other.path(), None, &[("MEETBOT_STORE_URL", &store)]);
    let two = client(&url, &key);
    assert_eq!(two.get_bot(&id).unwrap().unwrap().status, JobStatus::Completed);
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(first.ended(), Some(1), "it ends by itself: its place is taken");
    let next = two.dispatch_bot(NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=2".to_owned(),
        ..NewJob::default()
    });
    let next = await_job(&two, &next.unwrap().id, |job| job.status.is_final());
    assert_eq!((next.status, next.attempt), (JobStatus::Completed, 1));
}
