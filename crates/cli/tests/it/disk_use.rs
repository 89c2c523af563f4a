//! The disk use of recordings: of a job, of a consumer and of all.

use std::{path::Path, process::Command};

use meetbot::{JobStatus, Request, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backup_rounds::{backup, dispatch, recordings, restore},
    kills::far_ahead,
    program::{PATIENCE, await_job, client, create_key, meetbot, mix_reported, run, serve},
};

/// What all files of a job's recording have.
fn on_disk(data: &Path, job: &str) -> u64 {
    let files = recordings(data);
    let files = files.iter().filter(|(name, _)| name.starts_with(job));
    files.map(|(_, content)| content.len() as u64).sum()
}

/// What `meetbot consumers list` says of a consumer: of its recordings with live keys, and with test keys. `None` where there is no such consumer.
fn of_consumer(data: &Path, consumer: &str) -> Option<(u64, u64)> {
    let output = run(meetbot().args(["consumers", "list", "--json", "--data-dir"]).arg(data));
    let listed: Vec<Value> =
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = listed.into_iter().find(|one| one["consumer"] == consumer)?;
    let bytes = |world: &str| found[world]["recordingBytes"].as_u64().unwrap();
    Some((bytes("live"), bytes("test")))
}

/// What `/metrics` says of all.
fn of_all(admin: &MeetBot) -> u64 {
    let answer = admin.request(Request::new("GET", "/metrics").unwrap()).unwrap();
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("meetbot_recordings_bytes "));
    line.unwrap().parse().unwrap()
}

fn bytes_of(client: &MeetBot, job: &str) -> Option<u64> {
    client.get_bot(job).unwrap().unwrap().recording.bytes
}

/// Waits until the server has counted so many bytes for a job's recording.
pub(crate) fn counted(client: &MeetBot, job: &str, wanted: u64) {
    poll_until(PATIENCE, || match bytes_of(client, job) {
        Some(bytes) if bytes == wanted => Ok(()),
        other => Err(format!("{other:?} bytes, not {wanted}")),
    });
}

/// The id of a job that has ended, and what its recording has on disk with its mix.
fn recorded(client: &MeetBot, data: &Path) -> (String, u64) {
    let id = dispatch(client, "two-speakers?seconds=2", None);
    let job = client.wait_for_bot(&id, None).unwrap();
    assert!(
        job.recording.bytes.unwrap() > 10_000,
        "it is known as soon as the job has ended: {job:?}"
    );
    mix_reported(client, &id);
    let bytes = on_disk(data, &id);
    assert_eq!(bytes_of(client, &id), Some(bytes));
    (id, bytes)
}

#[test]
fn recorded_bytes_of_job_consumer_and_metrics_are_those_on_disk() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &["--consumer", "acme"]);
    let (admin_key, _) = create_key(data.path(), &["--consumer", "acme", "--scope", "admin"]);
    let (other_key, _) = create_key(data.path(), &["--consumer", "other", "--scope", "admin"]);
    let keys = [&key, &admin_key, &other_key];
    let [acme, admin, other] = keys.map(|key| client(&url, key));

    let running = dispatch(&acme, "two-speakers?seconds=600", None);
    let (id, bytes) = recorded(&acme, data.path());
    let (_, theirs) = recorded(&other, data.path());
    let running = await_job(&acme, &running, |job| job.status == JobStatus::Recording);
    assert_eq!(running.recording.bytes, None, "it grows");
    let never = acme.dispatch_bot(far_ahead()).unwrap().id;
    acme.cancel_bot(&never).unwrap();
    assert_eq!(bytes_of(&acme, &never), Some(0), "it had no bot");
    let sums = |admin: &MeetBot| {
        let data = data.path();
        (of_consumer(data, "acme"), of_consumer(data, "other"), of_all(admin))
    };
    let all = (Some((0, bytes)), Some((0, theirs)), bytes + theirs);
    assert_eq!(sums(&admin), all);
    let mut list = meetbot();
    list.args(["jobs", "list"]).env("MEETBOT_API_KEY", &key).env("MEETBOT_API_BASE_URL", &url);
    let size = format!("{} kB", bytes / 1000);
    let listed = run(&mut list).out;
    let line = listed.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(line.contains(&size), "{size} is missing in {listed}");

    server.kill();
    let (_server, url) = serve(data.path(), None);
    let [acme, admin, other] = keys.map(|key| client(&url, key));
    assert_eq!((bytes_of(&acme, &id), sums(&admin)), (Some(bytes), all));

    let receipt = acme.delete_recording(&id).unwrap();
    assert_eq!(receipt.removed.iter().map(|object| object.bytes).sum::<u64>(), bytes);
    assert_eq!(bytes_of(&acme, &id), Some(0));
    assert_eq!(sums(&admin), (Some((0, 0)), Some((0, theirs)), theirs));

    admin.erase_consumer("acme").unwrap();
    assert_eq!(sums(&other), (None, Some((0, theirs)), theirs));
    other.erase_consumer("other").unwrap();
    assert_eq!(of_consumer(data.path(), "other"), None);
}

#[test]
fn a_server_counts_recordings_again_after_a_restore() {
    let home = TempDir::new().unwrap();
    let [data, file, restored] = ["data", "copy.db", "restored"].map(|name| home.path().join(name));
    let (server, url) = serve(&data, None);
    let (key, _) = create_key(&data, &[]);
    let (id, bytes) = recorded(&client(&url, &key), &data);
    assert_eq!(backup(&data, &file).code, Some(0));
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(restore(&file, &restored, &[]).code, Some(0));

    let (server, url) = serve(&restored, None);
    counted(&client(&url, &key), &id, 0);
    assert_eq!(of_consumer(&restored, "default"), Some((0, 0)));
    assert_eq!(server.terminate(), Some(0));
    let mut copy = Command::new("cp");
    copy.arg("-a").args([data.join("recordings"), restored.clone()]);
    assert!(copy.status().unwrap().success());
    let (_server, url) = serve(&restored, None);
    counted(&client(&url, &key), &id, bytes);
    assert_eq!(of_consumer(&restored, "default"), Some((0, bytes)));
}
