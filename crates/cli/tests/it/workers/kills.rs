//! kill −9 and SIGTERM of servers and workers, in a meeting.

use meetbot::JobStatus;
use meetbot_types::Manifest;
use xtask::ffmpeg::decodes;

use super::{Setup, dispatch};
use crate::{
    kills::decodes_up_to_its_torn_end,
    processes::{bots, gone},
    program::{await_job, manifest_of},
};

/// All files are there and play.
fn plays(setup: &Setup, id: &str, attempt: u32, manifest: &Manifest) {
    let folder = setup.folder(id, attempt);
    for file in &manifest.files {
        let path = folder.join(&file.name);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), file.bytes, "{}", file.name);
        if file.media_type.ends_with("/webm") {
            decodes(&path);
        }
    }
}

/// Two attempts, and an explicit gap between them.
fn went_on_with_a_gap(setup: &Setup, manifest: &Manifest, id: &str) -> u64 {
    assert_eq!(manifest.attempts.len(), 2, "{manifest:#?}");
    assert!(!manifest.complete);
    for second in [false, true] {
        let tracks = manifest.tracks.iter().filter(|track| track.file.contains(".a2.") == second);
        assert!(tracks.count() >= 2, "{manifest:#?}");
    }
    plays(setup, id, 2, manifest);
    manifest.attempts[1].gap_ms.unwrap()
}

#[test]
fn a_worker_records_while_its_server_is_killed_and_started_again() {
    let setup = Setup::new();
    let (server, url) = setup.serve(0);
    let _worker = setup.worker(&url, &[]);
    let id = setup.recording(&setup.client(&url), 20);
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    server.kill();
    let (server, url) = setup.serve(port);
    let client = setup.client(&url);
    assert_eq!(client.get_bot(&id).unwrap().unwrap().status, JobStatus::Recording);
    // In order, too.
    assert_eq!(server.terminate(), Some(0));
    let (_server, _) = setup.serve(port);
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    assert!(manifest.complete, "{manifest:#?}");
    assert!(manifest.duration_ms >= 19_000, "{manifest:#?}");
    plays(&setup, &id, 1, &manifest);
}

#[test]
fn another_worker_continues_the_recording_of_a_killed_one() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let client = setup.client(&url);
    let first = setup.worker(&url, &[]);
    let id = setup.recording(&client, 30);
    let _second = setup.worker(&url, &[]);
    first.kill();
    for path in crate::kills::webm_files(&setup.folder(&id, 1)) {
        decodes_up_to_its_torn_end(&path);
    }
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    let gap = went_on_with_a_gap(&setup, &manifest_of(&client, &id), &id);
    assert!(gap >= 1, "{gap}");
}

#[test]
fn a_stopping_worker_hands_over_its_meetings_and_leaves_no_bot() {
    for own_processes in ["false", "true"] {
        let setup = Setup::new();
        let (_server, url) = setup.serve(0);
        let client = setup.client(&url);
        let mut first = setup.worker_command(&url, &[]);
        first.env("MEETBOT_BOTS_OWN_PROCESSES", own_processes);
        let (first, _) = crate::program::Running::start(&mut first);
        let id = setup.recording(&client, 25);
        let waits = dispatch(&client, 5);
        await_job(&client, &waits, |job| job.status == JobStatus::Recording);
        let _second = setup.worker(&url, &[]);
        assert_eq!(bots(&id).len(), usize::from(own_processes == "true"));
        assert_eq!(first.terminate(), Some(0));
        gone(&id);
        for id in [&id, &waits] {
            let job = await_job(&client, id, |job| job.status.is_final());
            assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
        }
        went_on_with_a_gap(&setup, &manifest_of(&client, &id), &id);
    }
}
