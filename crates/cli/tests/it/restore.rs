//! `meetbot restore`: as the page describes it, at random moments, paused, and where it has to be refused.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use meetbot::{FailureCode, JobStatus};
use tempfile::TempDir;
use xtask::spec_file;

use crate::{
    backup_rounds::{backup, dispatch, keys, names, of_job, recordings, restore, rounds},
    disk_use::counted,
    kills::far_ahead,
    program::{await_job, client, create_key, meetbot, mix_reported, run, serve},
};

/// As many as fit into the time of a test; `cargo xtask bench restores` makes more.
const ROUNDS: u32 = 3;
#[test]
fn after_a_clean_stop_the_database_is_a_single_file() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let id = dispatch(&client(&url, &key), "ends?seconds=1", None);
    client(&url, &key).wait_for_bot(&id, None).unwrap();
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(names(data.path()), ["bots", "lock", "meetbot.db", "recordings"]);
    // A command that works on the folder leaves it so, too.
    assert_eq!(keys(data.path()).len(), 1);
    assert_eq!(names(data.path()), ["bots", "lock", "meetbot.db", "recordings"]);

    let moved = TempDir::new().unwrap();
    fs::copy(data.path().join("meetbot.db"), moved.path().join("meetbot.db")).unwrap();
    let (_server, url) = serve(moved.path(), None);
    assert_eq!(client(&url, &key).get_bot(&id).unwrap().unwrap().status, JobStatus::Completed);
}

/// The commands of a section of the page, for these folders.
fn page(data: &Path, kept: &Path, restored: &Path) -> Vec<String> {
    let page = fs::read_to_string(spec_file::path("docs/operations.md")).unwrap();
    let section = page.split_once("\n## Backup and restore\n").unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let fill = |line: &str| {
        line.replace("/var/lib/meetbot-restored", restored.to_str().unwrap())
            .replace("/var/lib/meetbot", data.to_str().unwrap())
            .replace("/backup", kept.to_str().unwrap())
    };
    blocks.flat_map(str::lines).map(fill).collect()
}

#[test]
fn the_documented_restore_works_on_a_server_that_ran_after_its_backup() {
    let home = TempDir::new().unwrap();
    let folder = |name: &str| home.path().join(name);
    let (data, kept, restored) = (folder("data"), folder("kept"), folder("restored"));
    fs::create_dir(&kept).unwrap();
    let (server, url) = serve(&data, None);
    let (key, _) = create_key(&data, &[]);
    let first = client(&url, &key);
    let before = dispatch(&first, "two-speakers?seconds=1", None);
    first.wait_for_bot(&before, None).unwrap();
    mix_reported(&first, &before);
    let (what, files) = (of_job(&first, &before), recordings(&data));
    let program = PathBuf::from(meetbot().get_program());
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let types = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-ec", line]).env("PATH", &path).env_remove("MEETBOT_SERVER_DATA_DIR");
        let output = run(&mut shell);
        assert_eq!(output.code, Some(0), "{line}: {output:?}");
    };
    let commands = page(&data, &kept, &restored);
    let (back_up, bring_back): (Vec<_>, Vec<_>) =
        commands.iter().partition(|line| !line.contains(restored.to_str().unwrap()));
    assert!(back_up.len() >= 2 && bring_back.len() >= 2, "{commands:?}");
    for line in back_up {
        types(line);
    }
    let after = dispatch(&first, "ends?seconds=1", None);
    server.kill();
    for line in bring_back {
        types(line);
    }

    let (_server, url) = serve(&restored, None);
    let next = client(&url, &key);
    assert_eq!(of_job(&next, &before), what);
    assert!(next.get_bot(&after).unwrap().is_none());
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with(&before)) {
        assert!(fs::read(restored.join("recordings").join(name)).unwrap() == *bytes, "{name}");
    }
    assert_eq!(fs::metadata(&restored).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn jobs_keys_ledger_and_recordings_are_equal_after_backups_at_random_moments() {
    rounds(ROUNDS);
}

#[test]
fn a_paused_server_starts_and_sends_nothing_until_it_is_unpaused() {
    let home = TempDir::new().unwrap();
    let (data, file, restored) =
        (home.path().join("data"), home.path().join("copy.db"), home.path().join("restored"));
    let (server, url) = serve(&data, None);
    let (key, _) = create_key(&data, &[]);
    let done = dispatch(&client(&url, &key), "no-such-meeting", Some("http://127.0.0.1:9/"));
    client(&url, &key).wait_for_bot(&done, None).unwrap();
    let running = dispatch(&client(&url, &key), "two-speakers?seconds=600", None);
    await_job(&client(&url, &key), &running, |job| job.status == JobStatus::Recording);
    assert_eq!(backup(&data, &file).code, Some(0));
    server.kill();
    let output = restore(&file, &restored, &["--paused"]);
    assert_eq!((&output.json()["paused"], &output.json()["running"]), (&true.into(), &1.into()));

    let (server, url) = serve(&restored, None);
    let client = client(&url, &key);
    let new = dispatch(&client, "ends?seconds=1", Some("http://127.0.0.1:9/"));
    let doctor = || {
        let mut command = meetbot();
        command.args(["doctor", "--base-url", &url, "--listen", "127.0.0.1:0", "--data-dir"]);
        run(command.arg(&restored)).out
    };
    assert!(doctor().contains("paused since"), "{}", doctor());
    let of_done = of_job(&client, &done);
    // The dispatcher and the sender look every five seconds at least, and a failed webhook is tried again after five.
    std::thread::park_timeout(std::time::Duration::from_secs(6));
    for id in [&running, &new] {
        let job = client.get_bot(id).unwrap().unwrap();
        assert_eq!((&job.status, job.attempt > 1), (&JobStatus::Queued, false), "{job:#?}");
    }
    assert_eq!(of_job(&client, &done), of_done, "nothing is sent");
    let output = run(meetbot().args(["unpause", "--json", "--data-dir"]).arg(&restored));
    assert_eq!(output.json()["wasPaused"], true, "{output:?}");
    let job = client.wait_for_bot(&new, None).unwrap();
    assert_eq!(job.status, JobStatus::Completed, "{job:#?}");
    await_job(&client, &running, |job| job.attempt == 2 && job.status == JobStatus::Recording);
    assert!(!doctor().contains("paused since"));
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(log.contains("meetbot unpause --data-dir"), "{log}");
}

#[test]
fn a_restore_that_ends_running_jobs_fails_those_without_a_recording_and_keeps_the_queue() {
    let home = TempDir::new().unwrap();
    let [data, file, restored] = ["data", "copy.db", "restored"].map(|name| home.path().join(name));
    let (server, url) = serve(&data, None);
    let (key, _) = create_key(&data, &[]);
    let before = client(&url, &key);
    let lobby = dispatch(&before, "nobody-admits", None);
    await_job(&before, &lobby, |job| job.status_detail.as_deref() == Some("waiting_room"));
    let later = before.dispatch_bot(far_ahead()).unwrap().id;
    assert_eq!(backup(&data, &file).code, Some(0));
    server.kill();
    let output = restore(&file, &restored, &["--end-running"]);
    assert_eq!((&output.json()["jobs"], output.code), (&2.into(), Some(0)), "{output:?}");

    let (_server, url) = serve(&restored, None);
    let after = client(&url, &key);
    let job = after.get_bot(&lobby).unwrap().unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Failed, 1), "no other bot joins: {job:#?}");
    assert_eq!(job.failure_code, Some(FailureCode::InternalError));
    assert_eq!((job.manifest_uri, job.joined_at), (None, None));
    counted(&after, &lobby, 0);
    let job = after.get_bot(&later).unwrap().unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Queued, 0), "{job:#?}");
}

#[test]
fn a_restore_overwrites_no_database_and_accepts_only_backups() {
    let home = TempDir::new().unwrap();
    let (data, file) = (home.path().join("data"), home.path().join("copy.db"));
    create_key(&data, &[]);
    assert_eq!(backup(&data, &file).code, Some(0));
    let whole = fs::read(data.join("meetbot.db")).unwrap();
    let output = restore(&file, &data, &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("give --data-dir a new folder"), "{output:?}");
    assert_eq!(fs::read(data.join("meetbot.db")).unwrap(), whole);
    // A journal that lies there would be applied to any database.
    let journal = home.path().join("journal");
    fs::create_dir(&journal).unwrap();
    fs::write(journal.join("meetbot.db-wal"), b"old").unwrap();
    assert_eq!(restore(&file, &journal, &[]).code, Some(1));
    assert_eq!(names(&journal), ["meetbot.db-wal"]);

    let new = home.path().join("new");
    let text = home.path().join("notes.txt");
    fs::write(&text, b"this is no database, whatever its name says").unwrap();
    let empty = home.path().join("empty.db");
    fs::write(&empty, b"").unwrap();
    for wrong in [&text, &empty, &home.path().join("none.db"), &data] {
        let output = restore(wrong, &new, &[]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("is no backup of a meetbot server"), "{output:?}");
        assert!(!new.exists() || names(&new) == ["lock"], "{:?}", names(&new));
    }
    assert_eq!(restore(&file, &new, &[]).code, Some(0));
    assert_eq!(names(&new), ["lock", "meetbot.db"]);
}
