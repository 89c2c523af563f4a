//! Mixes are made by workers that have the recordings, or read them from the bucket.

use std::{env, path::Path, process::Command};

use meetbot::{JobStatus, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use serde_json::Value;
use tempfile::TempDir;

use super::Far;
use crate::{
    bucket::{completed, is_whole},
    bucket_server::{BucketServer, Fault},
    drain::{endless_ffmpeg, ffmpeg_of, scripted_ffmpeg},
    program::{PATIENCE, Running, TIMING, await_job, mix_reported, mixed},
    workers::{
        Setup, dispatch,
        status::{metrics_of, shows},
    },
};

const PUBLISHED: &str = "meetbot_worker_mixes_total{outcome=\"published\"} 1";

/// A server whose ffmpeg never ends, and the folder in which that one writes that it runs.
fn far_without_mixes() -> (Far, TempDir) {
    let tools = TempDir::new().unwrap();
    let far = Far::with(&[("PATH", endless_ffmpeg(tools.path()))]);
    (far, tools)
}

/// A worker, and its metrics.
fn worker_with_metrics(far: &Far, folder: usize) -> (Running, MeetBot) {
    let mut command = far.worker_command(folder);
    let (worker, started): (Running, Value) =
        Running::start(command.args(["--metrics", "127.0.0.1:0"]));
    let metrics = metrics_of(&started);
    (worker, metrics)
}

/// A worker whose ffmpeg never ends.
fn endless_worker(far: &Far, folder: usize, tools: &Path) -> Running {
    Running::start(far.worker_command(folder).env("PATH", endless_ffmpeg(tools))).0
}

/// The bots and mixes of `far.client` need workers with a label from now on.
fn require_label(far: &Far) {
    let limited = far.setup.limit("default", "eu");
    assert_eq!(limited.code, Some(0), "{limited:?}");
}

fn end_process(pid: u32) {
    assert!(Command::new("kill").arg("-9").arg(pid.to_string()).status().unwrap().success());
}

fn has_run(tools: &TempDir) -> bool {
    tools.path().join("pid").exists()
}

fn tracks_read(far: &Far) -> usize {
    let seen = far.bucket.seen();
    seen.iter().filter(|seen| seen.starts_with("GET") && seen.contains("audio.Alice.webm")).count()
}

/// Repeated on PostgreSQL, see `postgres::ON_BOTH`.
#[test]
fn a_worker_mixes_its_own_files_and_the_server_makes_no_mix() {
    let (far, of_server) = far_without_mixes();
    let (_worker, metrics) = worker_with_metrics(&far, 0);
    let id = dispatch(&far.client, 1);
    mix_reported(&far.client, &id);
    shows(&metrics, &[PUBLISHED]);
    assert_eq!(tracks_read(&far), 0, "the files on its disk are used");
    far.is_whole(&id, 1);
    assert!(!has_run(&of_server));
}

#[test]
fn the_mix_of_a_killed_worker_is_made_by_another_from_the_bucket() {
    let (far, of_server) = far_without_mixes();
    let tools = TempDir::new().unwrap();
    let first = endless_worker(&far, 0, tools.path());
    let id = dispatch(&far.client, 1);
    let ffmpeg = ffmpeg_of(tools.path());
    first.kill();
    end_process(ffmpeg);
    let (_second, metrics) = worker_with_metrics(&far, 1);
    mix_reported(&far.client, &id);
    shows(&metrics, &[PUBLISHED]);
    assert!(tracks_read(&far) > 0);
    assert!(!has_run(&of_server));
    let _first = far.worker(0);
    far.is_whole(&id, 1);
}

#[test]
fn a_stopping_worker_gives_its_mix_to_another() {
    // Without a word of the first worker, its mix would be due after the lease.
    let of_server = TempDir::new().unwrap();
    let path = endless_ffmpeg(of_server.path());
    let far = Far::with(&[("PATH", path), (TIMING, r#"{"leaseMs":600000}"#.to_owned())]);
    let tools = TempDir::new().unwrap();
    let first = endless_worker(&far, 0, tools.path());
    let id = dispatch(&far.client, 1);
    let ffmpeg = ffmpeg_of(tools.path());
    assert_eq!(first.terminate(), Some(0));
    assert!(!Path::new(&format!("/proc/{ffmpeg}")).exists(), "ffmpeg is ended");
    far.nothing_is_on_disks();
    let _second = far.worker(1);
    far.is_whole(&id, 1);
    assert!(!has_run(&of_server));
}

/// A worker is killed when its mix of so many bytes is in the bucket, and the manifest is not: what the next worker makes has other bytes.
fn the_first_upload_counts(bytes: usize, (method, contains): (&'static str, &str)) {
    let (far, of_server) = far_without_mixes();
    let last = "for last; do :; done";
    let tools = TempDir::new().unwrap();
    let path =
        scripted_ffmpeg(tools.path(), &format!("{last}\nhead -c {bytes} /dev/urandom > \"$last\""));
    let worker = |folder| Running::start(far.worker_command(folder).env("PATH", &path)).0;
    let first = worker(0);
    far.bucket.fault(method, contains, Some(1), Fault::HeldAfter);
    let id = dispatch(&far.client, 1);
    far.bucket.await_request(0, "done", contains);
    first.kill();
    far.bucket.lift();
    let mix = || {
        let objects = far.bucket.of_job(&id);
        objects.into_iter().find(|(key, _)| key.ends_with("audio.mixed.webm")).unwrap().1
    };
    let uploaded = mix();
    let _second = worker(1);
    mix_reported(&far.client, &id);
    assert!(mix() == uploaded, "it is not overwritten");
    let _first = worker(0);
    far.is_whole(&id, 1);
    assert!(!has_run(&of_server));
}

#[test]
fn a_mix_that_a_killed_worker_uploaded_is_the_one_of_the_manifest() {
    the_first_upload_counts(64, ("PUT", "audio.mixed.webm"));
}

#[test]
fn a_large_mix_that_a_killed_worker_uploaded_is_the_one_of_the_manifest() {
    the_first_upload_counts(17 << 20, ("POST", "uploadId"));
}

#[test]
fn nothing_is_left_of_a_recording_that_is_deleted_while_a_worker_mixes_it() {
    let (far, of_server) = far_without_mixes();
    let tools = TempDir::new().unwrap();
    let first = endless_worker(&far, 0, tools.path());
    let id = dispatch(&far.client, 1);
    let ffmpeg = ffmpeg_of(tools.path());
    first.kill();
    end_process(ffmpeg);
    // The second one has no files of the job, so it does not ask what to do with them.
    let _second = far.worker(1);
    far.bucket.fault("PUT", "audio.mixed.webm", None, Fault::HeldBefore);
    far.bucket.await_request(0, "PUT", "audio.mixed.webm");
    assert!(!far.client.delete_recording(&id).unwrap().removed.is_empty());
    let before = far.bucket.seen().len();
    far.bucket.lift();
    far.bucket.await_request(before, "DELETE", "audio.mixed.webm");
    poll_until(PATIENCE, || match far.bucket.of_job(&id) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{:?}", left.keys())),
    });
    let _first = far.worker(0);
    far.nothing_is_left();
    assert!(!has_run(&of_server));
}

#[test]
fn ffmpeg_on_a_worker_is_ended_when_its_recording_is_deleted() {
    let (far, tools) = (Far::new(), TempDir::new().unwrap());
    let _worker = endless_worker(&far, 0, tools.path());
    let id = dispatch(&far.client, 1);
    let ffmpeg = ffmpeg_of(tools.path());
    far.client.delete_recording(&id).unwrap();
    far.nothing_is_left();
    assert!(!Path::new(&format!("/proc/{ffmpeg}")).exists(), "ffmpeg is ended");
}

#[test]
fn the_server_makes_the_mixes_if_no_worker_does() {
    let (far, tools) = (Far::new(), TempDir::new().unwrap());
    let mut command = far.worker_command(0);
    command.env("PATH", endless_ffmpeg(tools.path()));
    let _worker = Running::start(command.env("MEETBOT_RECORDINGS_MIX_AT_ONCE", "0")).0;
    let id = dispatch(&far.client, 1);
    assert_eq!(completed(&far.client, &id).attempt, 1);
    far.is_whole(&id, 1);
    assert!(!has_run(&tools));
}

#[test]
fn a_worker_without_the_labels_of_a_consumer_never_makes_its_mix() {
    // A mix that a worker gives back is due for all at once; the server makes none within two leases.
    let of_server = TempDir::new().unwrap();
    let path = endless_ffmpeg(of_server.path());
    let far = Far::with(&[("PATH", path), (TIMING, r#"{"leaseMs":600000}"#.to_owned())]);
    let other = far.setup.client_of(&far.url, "other");
    require_label(&far);
    let tools = TempDir::new().unwrap();
    let mut command = far.worker_command(0);
    command.args(["--label", "eu"]).env("PATH", endless_ffmpeg(tools.path()));
    let first = Running::start(&mut command).0;
    let id = dispatch(&far.client, 1);
    ffmpeg_of(tools.path());
    let (plain, metrics) = worker_with_metrics(&far, 1);
    assert_eq!(first.terminate(), Some(0));
    // The other worker asks for mixes meanwhile, every 5 s, and makes this one.
    let of_other = dispatch(&other, 6);
    mix_reported(&other, &of_other);
    shows(&metrics, &[PUBLISHED]);
    let _second = Running::start(far.worker_command(0).args(["--label", "eu"])).0;
    mix_reported(&far.client, &id);
    far.is_whole(&id, 1);
    let (_, log) = plain.terminate_with_log();
    assert!(log.contains(&of_other) && !log.contains(&id), "{log}");
    assert!(!has_run(&of_server));
}

#[test]
fn the_server_leaves_a_mix_to_a_worker_with_the_labels_that_it_requires() {
    let (far, of_server) = far_without_mixes();
    require_label(&far);
    let _worker = Running::start(far.worker_command(0).args(["--label", "eu"])).0;
    // The server has then run for two leases, and makes mixes for which it has heard no worker.
    let id = dispatch(&far.client, 13);
    mix_reported(&far.client, &id);
    far.is_whole(&id, 1);
    assert!(!has_run(&of_server));
}

#[test]
fn the_server_makes_a_mix_if_no_worker_with_the_labels_that_it_requires_is_there() {
    let (far, tools) = (Far::new(), TempDir::new().unwrap());
    let _worker = endless_worker(&far, 0, tools.path());
    let id = far.recording(0, 8);
    // The bot of the worker stays. The mix of the files on its disk is not the worker's any more.
    require_label(&far);
    mix_reported(&far.client, &id);
    far.is_whole(&id, 1);
    assert!(!has_run(&tools));
}

#[test]
fn a_worker_that_ends_when_it_is_idle_makes_its_mix_before() {
    let (far, of_server) = far_without_mixes();
    let usual = env::var("PATH").unwrap();
    let tools = TempDir::new().unwrap();
    let path = scripted_ffmpeg(tools.path(), &format!("sleep 8\nPATH={usual} exec ffmpeg \"$@\""));
    let mut command = far.worker_command(0);
    command.args(["--until-idle", "5"]);
    let (mut worker, _) = Running::start(command.env("PATH", path));
    let id = dispatch(&far.client, 1);
    await_job(&far.client, &id, |job| job.status == JobStatus::Completed);
    let manifest = mixed(&far.client, &id);
    assert!(manifest.mixed.file.is_some(), "{:?}", manifest.mixed);
    poll_until(PATIENCE, || worker.child.try_wait().unwrap().ok_or("it runs"));
    far.is_whole(&id, 1);
    assert!(!has_run(&of_server));
}

#[test]
fn a_server_whose_disk_has_the_recordings_makes_the_mixes_at_once() {
    let (setup, bucket) = (Setup::new(), BucketServer::start());
    let mut settings = bucket.settings("eu");
    settings.push((TIMING, r#"{"leaseMs":600000}"#.to_owned()));
    let (_server, url) = setup.serve_with(0, &settings);
    let client = setup.client(&url);
    let _worker = setup.worker(&url, &[]);
    let id = dispatch(&client, 1);
    completed(&client, &id);
    is_whole(&bucket, setup.data.path(), &client, &id);
}
