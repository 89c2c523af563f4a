//! `meetbot backup`: taken from a server that works, and served by another.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use meetbot::{JobStatus, ListBots, NewJob};
use meetbot_orchestrator::DataFolder;
use tempfile::TempDir;

use crate::program::{CommandOutput, client, create_key, manifest_of, meetbot, run, serve};

fn backup(data_dir: &Path, file: &Path) -> CommandOutput {
    run(meetbot().args(["backup", "--json", "--data-dir"]).arg(data_dir).arg(file))
}

#[test]
fn a_backup_of_a_busy_server_has_everything_acknowledged_and_can_be_continued() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let first = client(&url, &key);
    let recorded = first
        .dispatch_bot(NewJob {
            meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=1".to_owned(),
            ..NewJob::default()
        })
        .unwrap();
    let recorded = first.wait_for_bot(&recorded.id, None).unwrap();
    assert_eq!(recorded.status, JobStatus::Completed);
    let ahead = || NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers".to_owned(),
        join_at: recorded.created_at.map(|at| at + std::time::Duration::from_hours(24)),
        ..NewJob::default()
    };
    let copy = data.path().join("copy.db");
    let (taken, mut acknowledged) = (AtomicBool::new(false), HashSet::new());
    let output = std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            while !taken.load(Ordering::Relaxed) {
                first.dispatch_bot(ahead()).unwrap();
            }
        });
        for _ in 0..20 {
            acknowledged.insert(first.dispatch_bot(ahead()).unwrap().id);
        }
        let output = backup(data.path(), &copy);
        taken.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        output
    });
    assert_eq!(output.code, Some(0), "{output:?}");
    let summary = output.json();
    assert!(summary["jobs"].as_u64().unwrap() > 20, "{summary}");
    assert!(summary["notIncluded"][0].as_str().unwrap().ends_with("/recordings"), "{summary}");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    server.kill();

    // As after a lost disk: the folder is new and elsewhere, and the recordings are on a disk of their own.
    let (moved, disk) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::rename(&copy, moved.path().join("meetbot.db")).unwrap();
    fs::rename(data.path().join("recordings"), disk.path().join("recordings")).unwrap();
    symlink(disk.path().join("recordings"), moved.path().join("recordings")).unwrap();
    drop(data);
    let (_server, url) = serve(moved.path(), None);
    let next = client(&url, &key);
    let there: HashSet<_> = next.bots(&ListBots::default()).map(|job| job.unwrap().id).collect();
    assert_eq!(acknowledged.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(there.len() as u64, summary["jobs"].as_u64().unwrap());
    let manifest = manifest_of(&next, &recorded.id);
    assert_eq!(manifest.tracks.len(), 2);
    let file = next.artifact(&recorded.id, &manifest.tracks[0].file).unwrap();
    assert_eq!(file.len() as u64, manifest.tracks[0].bytes);
}

#[test]
fn a_backup_overwrites_nothing_and_needs_a_database() {
    let parent = TempDir::new().unwrap();
    let (data, file) = (parent.path().join("data"), parent.path().join("kept"));
    fs::write(&file, b"mine").unwrap();
    let output = backup(&data, &parent.path().join("copy.db"));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("--data-dir"), "{output:?}");
    create_key(&data, &[]);
    let output = backup(&data, &file);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("overwrites nothing"), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

/// Where SQLite keeps `user_version` in a file.
const VERSION: std::ops::Range<usize> = 60..64;

#[test]
fn a_running_older_servers_database_is_not_upgraded() {
    let data = TempDir::new().unwrap();
    create_key(data.path(), &[]);
    let older = TempDir::new().unwrap();
    // A copy is one file, in which a number can be changed.
    let file = older.path().join("meetbot.db");
    assert_eq!(backup(data.path(), &file).code, Some(0));
    let mut bytes = fs::read(&file).unwrap();
    let version = u32::from_be_bytes(bytes[VERSION].try_into().unwrap()) - 1;
    bytes[VERSION].copy_from_slice(&version.to_be_bytes());
    fs::write(&file, bytes).unwrap();
    let _server = DataFolder::open(older.path()).unwrap();
    for command in [
        &["keys", "list"][..],
        &["keys", "create", "--test"],
        &["consumers", "list"],
        &["webhooks", "secret"],
    ] {
        let output = run(meetbot().args(command).arg("--data-dir").arg(older.path()));
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("restart the server with this program first"), "{output:?}");
    }
    let bytes = fs::read(&file).unwrap();
    assert_eq!(u32::from_be_bytes(bytes[VERSION].try_into().unwrap()), version);
}
