//! A full disk: new jobs are refused with a clear error, nothing acknowledged is lost, and everything continues when there is space again.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    mem::replace,
    path::Path,
    process::Command,
    time::Duration,
};

use meetbot::{CallOptions, ErrorKind, JobStatus, ListBots, NewJob, Request, blocking::MeetBot};
use meetbot_sandbox::Sandbox;
use meetbot_testkit::scripted::Receiver;
use tempfile::TempDir;

use crate::{
    kills::{grown, webm_files},
    load::{
        all_delivered, every_event_came, recordings_match_their_manifests, wait_until, webhooks_to,
    },
    program::{PATIENCE, await_job, client, create_key, manifest_of, sandbox_token, serve},
};

/// A file system of 4 MB that is gone with the test.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` without root.
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .output()
            .unwrap();
        mounted.status.success().then_some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it another size, as in `size=500m`.
    pub(crate) fn grow(&self, size: &str) {
        let options = format!("remount,{size}");
        let mounted = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(mounted.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Unmounted(self.0.path()));
    }
}

/// What is mounted there is so no longer when this is dropped.
struct Unmounted<'a>(&'a Path);

impl Drop for Unmounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [65_536, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// The small disk, or words about what is not tested without it.
pub(crate) fn small_disk(test: &str) -> Option<SmallDisk> {
    let disk = SmallDisk::mount();
    if disk.is_none() {
        xtask::not_tested(test, "needs root, to mount a small file system");
    }
    disk
}

#[test]
fn a_full_disk_loses_no_acknowledged_job() {
    let Some(disk) = small_disk("a_full_disk_loses_no_acknowledged_job") else { return };
    let (_server, url) = serve(&disk.path().join("data"), None);
    let (key, _) = create_key(&disk.path().join("data"), &[]);
    let client = client(&url, &key);
    let meeting = |seconds: u32| NewJob {
        meeting_url: format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}"),
        ..NewJob::default()
    };
    let recorded = client.dispatch_bot(meeting(2)).unwrap().id;
    client.wait_for_bot(&recorded, Some(PATIENCE)).unwrap();
    let filler = disk.path().join("filler");
    fill(&filler);
    let refused = client
        .with(CallOptions::new().max_retries(0))
        .unwrap()
        .dispatch_bot(meeting(2))
        .unwrap_err();
    assert_eq!((refused.kind(), refused.status()), (ErrorKind::Server, Some(503)), "{refused}");
    assert!(refused.message().contains("disk is full"), "{refused}");
    // What is there is still read.
    assert_eq!(client.list_bots(&ListBots::default()).unwrap().data.len(), 1);
    let manifest = manifest_of(&client, &recorded);
    assert!(!client.artifact(&recorded, &manifest.tracks[0].file).unwrap().is_empty());
    fs::remove_file(&filler).unwrap();
    let job = client.dispatch_bot(meeting(2)).unwrap();
    let job = client.wait_for_bot(&job.id, Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    assert_eq!(client.list_bots(&ListBots::default()).unwrap().data.len(), 2);
}

/// The problem that `/readyz` reports, once.
pub(crate) fn ready(client: &MeetBot) -> Result<(), String> {
    let once = client.with(CallOptions::new().max_retries(0)).unwrap();
    match once.request(Request::new("GET", "/readyz").unwrap()) {
        Ok(_) => Ok(()),
        Err(error) => {
            assert_eq!(error.status(), Some(503), "{error}");
            Err(error.message().to_owned())
        }
    }
}

#[test]
fn a_disk_that_fills_up_during_a_meeting_only_causes_a_gap() {
    let test = "a_disk_that_fills_up_during_a_meeting_only_causes_a_gap";
    let Some(disk) = small_disk(test) else { return };
    let data = disk.path().join("data");
    let (_server, url) = serve(&data, None);
    let (key, secret) = create_key(&data, &[]);
    let client = client(&url, &key);
    let mut receiver = Receiver::start([]).unwrap();
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=30".to_owned(),
        webhooks: Some(webhooks_to(&receiver, true)),
        ..NewJob::default()
    };
    let id = client.dispatch_bot(new).unwrap().id;
    let first = data.join(format!("recordings/{id}/e1"));
    grown(&first, 8_000);
    let filler = disk.path().join("filler");
    fill(&filler);
    wait_until(|| match ready(&client) {
        Err(why) if why.contains("disk is full") => Ok(()),
        ready => Err(format!("it says {ready:?}")),
    });
    // What is there is still read; and the bot has given up once its files grow no more, and it has tried for 2 s to say so.
    assert_eq!(client.get_bot(&id).unwrap().unwrap().status, JobStatus::Recording);
    let sizes = || -> Vec<u64> {
        webm_files(&first).iter().map(|path| fs::metadata(path).unwrap().len()).collect()
    };
    let mut before = sizes();
    wait_until(|| {
        std::thread::park_timeout(Duration::from_secs(5));
        let now = sizes();
        if now == before {
            Ok(())
        } else {
            Err(format!("{before:?}, then {:?}", replace(&mut before, now)))
        }
    });
    fs::remove_file(&filler).unwrap();
    wait_until(|| ready(&client));

    let job = client.wait_for_bot(&id, Some(PATIENCE * 2)).unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    assert!(!manifest.complete && manifest.attempts[1].gap_ms.unwrap() > 0, "{manifest:#?}");
    let of_first = manifest.tracks.iter().filter(|track| !track.file.contains(".a2."));
    assert!(of_first.map(|track| track.duration_ms).min().unwrap() > 1_000, "{manifest:#?}");
    assert_eq!(
        recordings_match_their_manifests(&data, std::slice::from_ref(&job), &client),
        (1, 1)
    );
    all_delivered(&client);
    every_event_came(&[job], &mut receiver, &secret, &client);
}

#[test]
fn a_full_disk_of_recordings_keeps_the_manifest_and_starts_few_bots() {
    let test = "a_full_disk_of_recordings_keeps_the_manifest_and_starts_few_bots";
    let Some(disk) = small_disk(test) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox =
        runtime.block_on(Sandbox::start(([127, 0, 0, 1], 0).into(), sandbox_token())).unwrap();
    // The database stays writable: its folder is beside the small disk, which is bound to where the recordings go.
    let data = TempDir::new().unwrap();
    let recordings = data.path().join("recordings");
    fs::create_dir(&recordings).unwrap();
    let bound = Command::new("mount").arg("--bind").args([disk.path(), &recordings]).status();
    assert!(bound.unwrap().success());
    let _bound = Unmounted(&recordings);
    let (_server, url) = serve(data.path(), Some(&sandbox.address()));
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let new = NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=600".to_owned(),
        ..NewJob::default()
    };
    let job = client.dispatch_bot(new).unwrap();
    let id = job.id.clone();
    grown(&disk.path().join(format!("{id}/e1")), 8_000);
    let filler = disk.path().join("filler");
    fill(&filler);
    await_job(&client, &id, |job| job.attempt >= 3);
    assert!(!client.get_bot(&id).unwrap().unwrap().status.is_final());
    fs::remove_file(&filler).unwrap();

    let job = client.wait_for_bot(&id, Some(PATIENCE * 2)).unwrap();
    assert_eq!(job.status, JobStatus::Failed, "{job:#?}");
    assert!(job.failure_detail.as_ref().unwrap().contains("disk is full"), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    assert!(!manifest.complete && manifest.tracks[0].duration_ms > 1_000, "{manifest:#?}");
    let seen = sandbox.inspect(job.id.parse().unwrap());
    assert_eq!((seen.joins, seen.present), (1, 0), "{seen:?}");
}
