//! Recordings that are finished on the disk of a machine that is gone, and not uploaded.

use std::{fs, path::Path};

use meetbot::JobStatus;
use meetbot_testkit::polling::poll_until;
use meetbot_types::Manifest;

use super::Far;
use crate::{
    bucket_server::Fault,
    program::{PATIENCE, Running, TIMING, await_job, manifest_of},
};

const REFUSED: Fault = Fault::Refused(503, "SlowDown");

/// Servers that take a worker for silent after 15 s.
fn far() -> Far {
    let timing = r#"{"leaseMs":6000,"pauseMs":100,"silentMs":15000}"#;
    Far::with(&[(TIMING, timing.to_owned())])
}

/// A worker with a finished recording that it cannot upload, and the recording's manifest.
fn finished(far: &Far) -> (Running, String, Manifest) {
    far.bucket.fault("PUT", "events.jsonl", None, REFUSED);
    let worker = far.worker(0);
    let id = far.recording(0, 12);
    far.uploading(&id);
    let manifest = far.attempt(0, &id, 1).join("manifest.json");
    let manifest = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    (worker, id, manifest)
}

/// Waits until all that a worker recorded of a job is in its log.
fn log_is_whole(far: &Far, id: &str) {
    poll_until(PATIENCE, || match far.bucket.of_job(id) {
        objects if objects.keys().any(|key| key.ends_with("/end")) => Ok(()),
        objects => Err(format!("{:?}", objects.keys())),
    });
}

/// The disk of the first worker goes away, or comes back.
fn moved(far: &Far, from: &str, to: &str) {
    let folder: &Path = far.folders[0].path();
    fs::rename(folder.join(from), folder.join(to)).unwrap();
}

/// The recording is what the first worker had finished.
fn is_the_same(far: &Far, id: &str, expected: &Manifest) {
    let manifest = manifest_of(&far.client, id);
    assert_eq!(manifest.tracks, expected.tracks);
    assert_eq!(manifest.attempts, expected.attempts);
    assert_eq!((manifest.complete, manifest.duration_ms), (true, expected.duration_ms));
    for file in &expected.files {
        assert!(manifest.files.contains(file), "{file:?}: {manifest:#?}");
    }
    assert!(manifest.tracks.len() >= 2 && manifest.duration_ms >= 11_000, "{manifest:#?}");
}

#[test]
fn another_worker_finishes_the_finished_recording_of_a_machine_that_is_gone() {
    let far = far();
    let (first, id, manifest) = finished(&far);
    log_is_whole(&far, &id);
    // Some of its files are uploaded.
    far.bucket.await_request(0, "PUT", "events.jsonl");
    assert!(far.bucket.of_job(&id).keys().any(|key| key.starts_with("1.")));
    first.kill();
    moved(&far, "recordings", "away");
    far.bucket.lift();
    let second = far.worker(1);
    far.is_whole(&id, 2);
    is_the_same(&far, &id, &manifest);
    // The disk comes back when the job has ended.
    second.kill();
    moved(&far, "away", "recordings");
    let _first = far.worker(0);
    far.is_whole(&id, 2);
}

#[test]
fn a_machine_that_comes_back_while_another_finishes_its_recording_harms_nothing() {
    let far = far();
    let (first, id, manifest) = finished(&far);
    log_is_whole(&far, &id);
    first.kill();
    moved(&far, "recordings", "away");
    far.bucket.lift();
    far.bucket.fault("PUT", "audio.Bob.webm", None, Fault::HeldBefore);
    let before = far.bucket.seen().len();
    let _second = far.worker(1);
    far.bucket.await_request(before, "PUT", "audio.Bob.webm");
    moved(&far, "away", "recordings");
    let _first = far.worker(0);
    far.bucket.lift();
    far.is_whole(&id, 2);
    is_the_same(&far, &id, &manifest);
}

#[test]
fn a_machine_that_comes_back_first_finishes_its_own_recording() {
    let far = far();
    let (first, id, manifest) = finished(&far);
    log_is_whole(&far, &id);
    first.kill();
    await_job(&far.client, &id, |job| job.status == JobStatus::Queued);
    far.bucket.lift();
    let _first = far.worker(0);
    far.is_whole(&id, 2);
    is_the_same(&far, &id, &manifest);
}

#[test]
fn a_finished_recording_whose_log_is_not_whole_waits_for_its_machine() {
    let far = far();
    far.bucket.fault("PUT", "/end", None, REFUSED);
    let (first, id, manifest) = finished(&far);
    first.kill();
    // The server asks for the log of a worker that is silent.
    let before = far.bucket.seen().len();
    far.bucket.await_request(before, "GET", &format!("{id}%2Flog"));
    far.bucket.lift();
    let _first = far.worker(0);
    far.is_whole(&id, 1);
    is_the_same(&far, &id, &manifest);
}
