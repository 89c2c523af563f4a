//! A disk without room: new jobs are refused with a clear error, nothing that was promised is lost, and all goes on when there is room again.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::Command,
};

use meetbot::{ErrorKind, JobStatus, ListBots, NewJob};
use tempfile::TempDir;

use crate::program::{PATIENCE, client, create_key, serve};

/// A file system of 4 MB that is gone with the test.
struct SmallDisk(TempDir);

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

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [65_536, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn nothing_is_lost_when_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        // Written past the capture of the test harness, so that it is seen.
        let _ = std::io::stderr().write_all(
            b"\nNOT TESTED: nothing_is_lost_when_the_disk_is_full needs root, to mount a small file system. CI runs it.\n",
        );
        return;
    };
    let (_server, url) = serve(&disk.path().join("data"), None);
    let (key, _) = create_key(&disk.path().join("data"), &[]);
    let client = client(&url, &key);
    let meeting = |seconds: u32| NewJob {
        meeting_url: format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}"),
        ..NewJob::default()
    };
    let recorded = client.dispatch_bot(meeting(2)).unwrap().id.to_string();
    client.wait_for_bot(&recorded, Some(PATIENCE)).unwrap();
    let filler = disk.path().join("filler");
    fill(&filler);
    let refused = client
        .with(meetbot::CallOptions::new().max_retries(0))
        .unwrap()
        .dispatch_bot(meeting(2))
        .unwrap_err();
    assert_eq!((refused.kind(), refused.status()), (ErrorKind::Server, Some(503)), "{refused}");
    assert!(refused.message().contains("disk is full"), "{refused}");
    // What is there is still read.
    assert_eq!(client.list_bots(&ListBots::default()).unwrap().data.len(), 1);
    let manifest = client.manifest(&recorded).unwrap();
    assert!(!client.artifact(&recorded, &manifest.tracks[0].file).unwrap().is_empty());
    fs::remove_file(&filler).unwrap();
    let job = client.dispatch_bot(meeting(2)).unwrap();
    let job = client.wait_for_bot(&job.id.to_string(), Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    assert_eq!(client.list_bots(&ListBots::default()).unwrap().data.len(), 2);
}
