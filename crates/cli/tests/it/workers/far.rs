//! Workers that share no disk with their server: their recordings go into the bucket.

mod elsewhere;
mod idle;
mod late;
mod mixes;
mod restored;

use std::{collections::HashSet, fs, path::PathBuf};

use meetbot::{JobStatus, NewJob, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use tempfile::TempDir;

use super::{Setup, dispatch};
use crate::{
    bucket::{completed, is_whole, nothing_is_on_disk},
    bucket_server::{BucketServer, Fault},
    kills::grown,
    program::{PATIENCE, Running, await_job, create_key, manifest_of, run},
};

/// A server with a bucket, and a folder for each worker.
pub(super) struct Far {
    pub(super) setup: Setup,
    pub(super) bucket: BucketServer,
    server: Running,
    pub(super) url: String,
    pub(super) client: MeetBot,
    folders: [TempDir; 2],
}

impl Far {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// The same, with more settings of the server.
    pub(super) fn with(more: &[(&'static str, String)]) -> Self {
        let (setup, bucket) = (Setup::new(), BucketServer::start());
        let settings = [bucket.settings("eu"), more.to_vec()].concat();
        let (server, url) = setup.serve_with(0, &settings);
        let client = setup.client(&url);
        let folders = [(); 2].map(|()| TempDir::new().unwrap());
        Self { setup, bucket, server, url, client, folders }
    }

    pub(super) fn worker_command(&self, folder: usize) -> std::process::Command {
        let mut command = self.setup.worker_command_on(&self.url, self.folders[folder].path(), &[]);
        command.envs(self.bucket.settings("eu"));
        command
    }

    pub(super) fn worker(&self, folder: usize) -> Running {
        Running::start(&mut self.worker_command(folder)).0
    }

    fn attempt(&self, folder: usize, id: &str, attempt: u32) -> PathBuf {
        self.folders[folder].path().join(format!("recordings/{id}/e{attempt}"))
    }

    /// Starts a job, and waits until its recording has grown on the worker's disk.
    pub(super) fn recording(&self, folder: usize, seconds: u32) -> String {
        let id = dispatch(&self.client, seconds);
        await_job(&self.client, &id, |job| job.status == JobStatus::Recording);
        grown(&self.attempt(folder, &id, 1), 4_000);
        id
    }

    /// Waits until so many more objects of the job's log are in the bucket.
    pub(super) fn logged(&self, id: &str, objects: usize) {
        let logs =
            || self.bucket.of_job(id).into_keys().filter(|key| key.starts_with("log/")).count();
        let before = logs();
        poll_until(PATIENCE, || match logs() {
            now if now >= before + objects => Ok(()),
            now => Err(format!("{now} objects of a log, {before} before")),
        });
    }

    fn uploading(&self, id: &str) {
        await_job(&self.client, id, |job| job.status_detail.as_deref() == Some("uploading"));
    }

    /// The bucket has the whole recording, and no disk has any of it.
    pub(super) fn is_whole(&self, id: &str, attempt: u32) {
        assert_eq!(completed(&self.client, id).attempt, attempt);
        // The log, and what no job refers to, is removed when the worker asks about the job.
        poll_until(PATIENCE, || {
            let objects = self.bucket.of_job(id);
            let folders: HashSet<_> = objects.keys().map(|key| key.split('/').next()).collect();
            let is_clean = folders.len() == 1;
            if is_clean { Ok(()) } else { Err(format!("more is left: {:?}", objects.keys())) }
        });
        is_whole(&self.bucket, self.setup.data.path(), &self.client, id);
        self.nothing_is_on_disks();
    }

    fn nothing_is_on_disks(&self) {
        for folder in &self.folders {
            poll_until(PATIENCE, || {
                if nothing_is_on_disk(folder.path()) {
                    Ok(())
                } else {
                    Err("files are left on a worker's disk".to_owned())
                }
            });
        }
    }

    /// No disk of a worker has any recording, and neither has the bucket.
    fn nothing_is_left(&self) {
        self.nothing_is_on_disks();
        let left: Vec<_> = self.bucket.objects().into_keys().collect();
        assert_eq!(left, ["eu/meetbot.json", "eu/probes/worker"]);
    }

    /// The recording has two attempts, with media of both and an explicit gap between them.
    fn continued_with_a_gap(&self, id: &str) -> u64 {
        let manifest = manifest_of(&self.client, id);
        assert_eq!(manifest.attempts.len(), 2, "{manifest:#?}");
        for second in [false, true] {
            let tracks =
                manifest.tracks.iter().filter(|track| track.file.contains(".a2.") == second);
            assert!(tracks.count() >= 2, "{manifest:#?}");
        }
        assert!(!manifest.complete);
        manifest.attempts[1].gap_ms.unwrap()
    }
}

#[test]
fn a_worker_on_another_disk_uploads_its_recording_before_the_job_ends() {
    let far = Far::new();
    let _worker = far.worker(0);
    far.bucket.fault("PUT", "audio.Bob.webm", None, Fault::HeldBefore);
    let id = far.recording(0, 12);
    far.uploading(&id);
    far.bucket.await_request(0, "PUT", "audio.Bob.webm");
    let job = far.client.get_bot(&id).unwrap().unwrap();
    assert_eq!((&job.status, &job.manifest_uri), (&JobStatus::Finalizing, &None));
    assert!(nothing_is_on_disk(far.setup.data.path()), "the server has no file of it");
    far.bucket.lift();
    far.is_whole(&id, 1);
    let manifest = manifest_of(&far.client, &id);
    assert!(manifest.complete && manifest.duration_ms >= 11_000, "{manifest:#?}");
    assert!(far.client.delete_recording(&id).unwrap().removed.len() > manifest.files.len());
    let left: Vec<_> = far.bucket.objects().into_keys().collect();
    assert_eq!(left, ["eu/meetbot.json", "eu/probes/worker"]);
}

#[test]
fn another_worker_continues_the_recording_of_a_machine_that_is_gone() {
    let far = Far::new();
    let first = far.worker(0);
    let id = far.recording(0, 40);
    far.logged(&id, 2);
    first.kill();
    let gone = far.folders[0].path().join("recordings");
    fs::rename(&gone, far.folders[0].path().join("gone")).unwrap();
    let recorded = far.bucket.of_job(&id).len();
    let _second = far.worker(1);
    far.is_whole(&id, 2);
    let gap = far.continued_with_a_gap(&id);
    assert!((1..36_000).contains(&gap), "{gap} ms after {recorded} objects");
}

/// Repeated on PostgreSQL, see `postgres::ON_BOTH`.
#[test]
fn a_recording_of_two_machines_is_downloaded_and_erased() {
    let mut far = Far::new();
    let data = far.setup.data.path();
    let (key, _) = create_key(data, &["--consumer", "acme"]);
    let (admin, _) = create_key(data, &["--consumer", "acme", "--scope", "admin"]);
    let admin = crate::program::client(&far.url, &admin);
    far.client = crate::program::client(&far.url, &key);
    let first = far.worker(0);
    let id = far.recording(0, 40);
    far.logged(&id, 2);
    first.kill();
    // Its disk comes back later.
    let (recordings, away) =
        (far.folders[0].path().join("recordings"), far.folders[0].path().join("away"));
    fs::rename(&recordings, &away).unwrap();
    let _second = far.worker(1);
    far.is_whole(&id, 2);
    let gap = far.continued_with_a_gap(&id);
    assert!((1..36_000).contains(&gap), "{gap} ms");
    assert_eq!(admin.erase_consumer("acme").unwrap().jobs, 1);
    assert!(far.client.get_bot(&id).is_err(), "the key is erased, too");
    fs::rename(&away, &recordings).unwrap();
    let _first = far.worker(0);
    far.nothing_is_left();
}

#[test]
fn a_worker_that_comes_back_continues_with_all_that_it_has_recorded() {
    let far = Far::new();
    let worker = far.worker(0);
    let id = far.recording(0, 30);
    worker.kill();
    let _again = far.worker(0);
    far.is_whole(&id, 2);
    far.continued_with_a_gap(&id);
}

#[test]
fn a_stopping_worker_hands_its_recording_over_to_another_machine() {
    let far = Far::new();
    let first = far.worker(0);
    let id = far.recording(0, 30);
    let _second = far.worker(1);
    assert_eq!(first.terminate(), Some(0));
    far.bucket.await_request(0, "PUT", &format!("{id}/log/1."));
    assert_eq!(completed(&far.client, &id).attempt, 2);
    let gap = far.continued_with_a_gap(&id);
    assert!(gap < 6_000, "nothing was lost that was recorded: {gap}");
    assert_eq!(manifest_of(&far.client, &id).attempts[0].outcome, "handed_over");
    // The first machine removes its copy when a worker runs there again.
    let _first = far.worker(0);
    far.is_whole(&id, 2);
}

#[test]
fn an_upload_that_was_interrupted_by_a_kill_is_finished_by_the_next_worker_there() {
    let far = Far::new();
    let mut worker = far.worker(0);
    for (contains, fault) in [
        ("audio.Alice.webm", Fault::HeldBefore),
        ("audio.Bob.webm", Fault::HeldAfter),
        ("manifest.json", Fault::HeldBefore),
        ("manifest.json", Fault::HeldAfter),
    ] {
        let waits_for = if matches!(fault, Fault::HeldAfter) { "done" } else { "PUT" };
        let before = far.bucket.seen().len();
        far.bucket.fault("PUT", contains, None, fault.clone());
        let id = dispatch(&far.client, 1);
        far.bucket.await_request(before, waits_for, contains);
        worker.kill();
        far.bucket.lift();
        far.uploading(&id);
        worker = far.worker(0);
        far.is_whole(&id, 1);
    }
}

#[test]
fn recordings_wait_on_the_workers_disk_during_an_outage_of_the_bucket() {
    let far = Far::new();
    let worker = far.worker(0);
    far.bucket.fault("*", "", None, Fault::Away);
    let first = dispatch(&far.client, 1);
    far.uploading(&first);
    assert!(far.attempt(0, &first, 1).join("manifest.json").exists());
    worker.kill();
    let _worker = far.worker(0);
    let second = dispatch(&far.client, 1);
    far.uploading(&second);
    assert_eq!(far.client.get_bot(&first).unwrap().unwrap().status, JobStatus::Finalizing);
    far.bucket.lift();
    for id in [&first, &second] {
        assert_eq!(completed(&far.client, id).attempt, 1);
    }
    for id in [&first, &second] {
        far.is_whole(id, 1);
    }
}

#[test]
fn a_deleted_consumer_leaves_nothing_in_the_bucket_or_on_a_worker() {
    let far = Far::new();
    let _worker = far.worker(0);
    let data = far.setup.data.path();
    let (key, _) = create_key(data, &["--consumer", "acme"]);
    let (admin, _) = create_key(data, &["--consumer", "acme", "--scope", "admin"]);
    let [writer, admin] = [&key, &admin].map(|key| crate::program::client(&far.url, key));
    far.bucket.fault("PUT", "manifest.json", None, Fault::Refused(503, "SlowDown"));
    let id = dispatch(&writer, 8);
    await_job(&writer, &id, |job| job.status_detail.as_deref() == Some("uploading"));
    far.bucket.await_request(0, "PUT", "manifest.json");
    assert_eq!(admin.erase_consumer("acme").unwrap().jobs, 1);
    far.bucket.lift();
    far.nothing_is_left();
}

#[test]
fn evidence_of_a_failed_join_is_uploaded_listed_and_deleted_with_the_job() {
    let far = Far::new();
    let _worker = far.worker(0);
    let meeting_url = "https://sandbox.meetbot.dev/nobody-admits".to_owned();
    let new = NewJob { meeting_url, ..NewJob::default() };
    let id = far.client.dispatch_bot(new).unwrap().id;
    await_job(&far.client, &id, |job| job.status_detail.as_deref() == Some("waiting_room"));
    // As a bot in a browser leaves it.
    let folder = far.folders[0].path().join(format!("recordings/{id}/evidence"));
    fs::create_dir_all(&folder).unwrap();
    let files = [("evidence-1-1.json", "{}"), ("evidence-1-1.png", "png")];
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    far.bucket.fault("PUT", "evidence", Some(1), Fault::Refused(503, "SlowDown"));
    far.client.cancel_bot(&id).unwrap();
    let listed = || -> Vec<_> {
        let files = far.client.artifacts(&id).unwrap().into_iter();
        files.map(|file| (file.name.unwrap(), file.bytes.unwrap())).collect()
    };
    let expected = files.map(|(name, content)| (name.to_owned(), content.len() as u64));
    poll_until(PATIENCE, || match listed() {
        found if found == expected => Ok(()),
        found => Err(format!("{found:?}")),
    });
    for (name, content) in files {
        assert_eq!(far.client.artifact(&id, name).unwrap(), content);
    }
    far.nothing_is_on_disks();
    let receipt = far.client.delete_recording(&id).unwrap();
    assert_eq!(receipt.removed.len(), 2, "{receipt:#?}");
    assert_eq!(listed(), []);
    assert!(far.client.artifact(&id, "evidence-1-1.png").is_err());
    far.nothing_is_left();
}

#[test]
fn a_recording_whose_files_are_damaged_on_the_worker_is_never_completed() {
    let far = Far::new();
    let _worker = far.worker(0);
    far.bucket.fault("GET", "prefix=eu%2Fjobs%2Fjob_", None, Fault::HeldBefore);
    let id = dispatch(&far.client, 1);
    far.bucket.await_request(0, "GET", "prefix=eu%2Fjobs%2Fjob_");
    far.uploading(&id);
    fs::write(far.attempt(0, &id, 1).join("audio.Alice.webm"), "damaged").unwrap();
    far.bucket.lift();
    let before = far.bucket.seen().len();
    far.bucket.await_requests(before, "GET", &id, 2);
    let job = far.client.get_bot(&id).unwrap().unwrap();
    assert_eq!((&job.status, &job.manifest_uri), (&JobStatus::Finalizing, &None));
    assert!(far.bucket.of_job(&id).keys().all(|key| !key.ends_with("manifest.json")));
}

#[test]
fn a_worker_on_another_disk_is_refused_unless_it_can_upload() {
    let far = Far::new();
    let refused = |command: &mut std::process::Command, code: i32, words: &[&str]| {
        let output = run(command);
        assert_eq!(output.code, Some(code), "{output:?}");
        for word in words {
            assert!(output.err.contains(word), "{word} is missing in {output:?}");
        }
    };
    let folder = far.folders[0].path();
    let mut without = far.setup.worker_command_on(&far.url, folder, &[]);
    refused(&mut without, 1, &["storage.url", "s3://acme/eu", "--data-dir"]);
    let mut other = far.setup.worker_command_on(&far.url, folder, &[]);
    other.envs(far.bucket.settings("us"));
    refused(&mut other, 1, &["s3://acme/us", "s3://acme/eu"]);
    let mut wrong = far.worker_command(0);
    wrong.env("AWS_SECRET_ACCESS_KEY", "wrong");
    refused(&mut wrong, 1, &["s3://acme/eu", "secret access key"]);
    // Another bucket of the same name: its prefix is another server's.
    let foreign = BucketServer::start();
    let elsewhere = Setup::new();
    let (_server, _) = elsewhere.serve_with(0, &foreign.settings("eu"));
    let mut wrong = far.setup.worker_command_on(&far.url, folder, &[]);
    wrong.envs(foreign.settings("eu"));
    refused(&mut wrong, 1, &["used by other meetbot servers"]);
    // Its folder is in use, or is a server's.
    let _worker = far.worker(0);
    refused(&mut far.worker_command(0), 1, &["in use by another meetbot"]);
    if crate::program::store(elsewhere.data.path()).is_none() {
        let mut of_server = far.setup.worker_command_on(&far.url, elsewhere.data.path(), &[]);
        of_server.envs(far.bucket.settings("eu"));
        refused(&mut of_server, 2, &["another server", "--data-dir"]);
    }
    // The server has no bucket, or runs bots itself.
    let plain = Setup::new();
    let (server, url) = plain.serve(0);
    let mut command = plain.worker_command_on(&url, far.folders[1].path(), &[]);
    command.envs(far.bucket.settings("eu"));
    refused(&mut command, 1, &["storage.url for the server", "--data-dir"]);
    assert_eq!(server.terminate(), Some(0));
    let mut settings = far.bucket.settings("own");
    settings.push(("MEETBOT_BOTS_WORKERS", "own".to_owned()));
    let (_server, url) = plain.serve_with(0, &settings);
    let mut command = plain.worker_command_on(&url, far.folders[1].path(), &[]);
    command.envs(far.bucket.settings("own"));
    refused(&mut command, 1, &["bots.workers", "none"]);
}
