//! Workers and a server whose database is older than their recordings, or has deleted them.

use std::fs;

use meetbot::JobStatus;
use meetbot_testkit::polling::poll_until;
use tempfile::TempDir;

use super::Far;
use crate::{
    backup_rounds::{backup, recordings, restore},
    bucket::{completed, nothing_is_on_disk},
    bucket_server::Fault,
    program::{PATIENCE, Running, TIMING, manifest_of},
    workers::dispatch,
};

#[test]
fn no_recording_is_lost_when_a_servers_older_database_is_restored() {
    let mut far = Far::new();
    let home = TempDir::new().unwrap();
    let (copy, restored) = (home.path().join("copy.db"), home.path().join("restored"));
    let worker = far.worker(0);
    let refused = Fault::Refused(503, "SlowDown");
    // The backup knows one recording, which is uploaded and removed from the worker's disk after the backup.
    far.bucket.fault("PUT", "manifest.json", None, refused.clone());
    let known = dispatch(&far.client, 5);
    far.uploading(&known);
    assert_eq!(backup(far.setup.data.path(), &copy).code, Some(0));
    far.bucket.lift();
    far.is_whole(&known, 1);
    let manifest = manifest_of(&far.client, &known);
    // It does not know another one, which is finished on the worker's disk.
    far.bucket.fault("PUT", "manifest.json", None, refused);
    let before = far.bucket.seen().len();
    let unknown = dispatch(&far.client, 5);
    far.bucket.await_request(before, "PUT", "manifest.json");
    worker.kill();
    let kept = recordings(far.folders[0].path());
    assert!(kept.contains_key(&format!("{unknown}/e1/manifest.json")), "{:?}", kept.keys());

    assert_eq!(restore(&copy, &restored, &[]).code, Some(0));
    far.bucket.lift();
    let (server, url) = far.setup.serve_from(&restored, 0, &far.bucket.settings("eu"));
    (far.client, far.url, far.server) = (far.setup.client(&url), url, server);
    assert!(far.client.get_bot(&unknown).unwrap().is_none());
    assert_eq!(completed(&far.client, &known).attempt, 1);
    let found = manifest_of(&far.client, &known);
    assert_eq!((&found.tracks, found.duration_ms), (&manifest.tracks, manifest.duration_ms));
    let worker = far.worker(0);
    // The worker asks about all jobs with files at once: when this one's are removed, it has the answer about the other.
    let next = dispatch(&far.client, 5);
    assert_eq!(completed(&far.client, &next).status, JobStatus::Completed);
    removed(&far, &next);
    assert_eq!(recordings(far.folders[0].path()), kept);
    let objects = far.bucket.of_job(&unknown);
    assert!(objects.keys().any(|key| key.starts_with("1.")), "{:?}", objects.keys());
    reported(worker, &unknown);
}

/// The job's files are gone from the first worker's disk.
fn removed(far: &Far, id: &str) {
    let folder = far.folders[0].path().join("recordings").join(id);
    poll_until(PATIENCE, || if folder.exists() { Err("it has files") } else { Ok(()) });
}

/// The worker has reported once that it keeps the files of this job.
fn reported(worker: Running, id: &str) {
    let (code, log) = worker.terminate_with_log();
    assert_eq!(code, Some(0));
    let reported = log.lines().filter(|line| line.contains("ERROR") && line.contains(id));
    assert_eq!(reported.count(), 1, "{log}");
}

#[test]
fn what_a_worker_uploads_after_a_deletion_is_removed_although_it_never_returns() {
    let times = r#"{"leaseMs":6000,"pauseMs":100,"removedAgainMs":4000}"#;
    let far = Far::with(&[(TIMING, times.to_owned())]);
    let worker = far.worker(0);
    let id = dispatch(&far.client, 5);
    far.is_whole(&id, 1);
    worker.kill();
    far.client.delete_recording(&id).unwrap();
    assert!(far.bucket.of_job(&id).is_empty());
    let log = far.bucket.folder().join(format!("eu/jobs/{id}/log/1.cutoff"));
    fs::create_dir_all(&log).unwrap();
    fs::write(log.join("00000000"), "late").unwrap();
    poll_until(PATIENCE * 2, || match far.bucket.of_job(&id) {
        objects if objects.is_empty() => Ok(()),
        objects => Err(format!("still there: {:?}", objects.keys())),
    });
    assert!(nothing_is_on_disk(far.folders[0].path()));
}
