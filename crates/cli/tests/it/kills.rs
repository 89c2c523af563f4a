//! kill −9 of the server: nothing that was acknowledged is lost.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use meetbot::{JobStatus, NewJob, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use tempfile::TempDir;
use xtask::ffmpeg::decodes;

use crate::{
    load::kill_repeatedly,
    program::{PATIENCE, await_job, client, create_key, manifest_of, sandbox, serve},
};

#[test]
fn a_meeting_continues_in_the_same_manifest_after_a_kill() {
    let data = TempDir::new().unwrap();
    let (_sandbox, address) = sandbox();
    let (server, url) = serve(data.path(), Some(&address));
    let (key, _) = create_key(data.path(), &[]);
    let job = client(&url, &key)
        .dispatch_bot(NewJob {
            meeting_url: "https://sandbox.meetbot.dev/two-speakers?seconds=12".to_owned(),
            ..NewJob::default()
        })
        .unwrap();
    let id = job.id.clone();
    await_job(&client(&url, &key), &id, |job| job.status == JobStatus::Recording);
    // Late enough that recorded media could be lost.
    let first = data.path().join(format!("recordings/{id}/e1"));
    grown(&first, 8_000);
    server.kill();
    let before: Vec<_> = webm_files(&first);
    assert!(!before.is_empty());
    for path in &before {
        decodes_up_to_its_torn_end(path);
    }

    let (_server, url) = serve(data.path(), Some(&address));
    let client = client(&url, &key);
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    crate::schema::recording_fits(&client, &id);
    assert!(!manifest.complete);
    assert_eq!(manifest.attempts.len(), 2, "{manifest:#?}");
    let gap = manifest.attempts[1].gap_ms.unwrap();
    assert!((1..60_000).contains(&gap), "{gap}");
    let folder = data.path().join(format!("recordings/{id}/e2"));
    for attempt in ["webm", "a2.webm"] {
        let of_attempt = |track: &&meetbot_types::manifest::Track| {
            track.file.contains(".a2.") == (attempt == "a2.webm")
        };
        assert!(manifest.tracks.iter().filter(of_attempt).count() >= 2, "{attempt}: {manifest:#?}");
    }
    for file in &manifest.files {
        let path = folder.join(&file.name);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), file.bytes, "{}", file.name);
        if file.media_type.ends_with("/webm") {
            decodes(&path);
        }
    }
    let people: HashSet<&str> =
        manifest.participants.iter().map(|person| person.id.as_str()).collect();
    assert_eq!(
        people.len(),
        manifest.participants.len(),
        "the same person stands there twice: {manifest:#?}"
    );
}

/// What a killed bot leaves may end in the middle of a packet; everything before it plays.
pub(crate) fn decodes_up_to_its_torn_end(path: &std::path::Path) {
    let probe = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .status()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(probe.success(), "{}", path.display());
}

pub(crate) fn webm_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "webm"))
        .collect()
}

/// Waits until two speakers' files are larger than `bytes` each.
pub(crate) fn grown(folder: &std::path::Path, bytes: u64) {
    let large =
        |path: &std::path::PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() > bytes);
    poll_until(PATIENCE, || {
        let files = webm_files(folder);
        let grown = files.iter().filter(|path| large(path)).count() >= 2;
        grown.then_some(()).ok_or_else(|| format!("the recording does not grow: {files:?}"))
    });
}

/// The number of kills that the issue asks for.
const KILLS: usize = 50;

#[test]
fn fifty_kills_lose_no_acknowledged_job() {
    let data = TempDir::new().unwrap();
    let (first, _) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    first.kill();
    let acknowledged = Mutex::new(HashSet::new());
    for round in 0..KILLS {
        let (server, url) = serve(data.path(), None);
        let killed = AtomicBool::new(false);
        let enough = acknowledged.lock().unwrap().len() + 1 + round % 40;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let client = MeetBot::builder()
                        .api_key(&key)
                        .base_url(&url)
                        .max_retries(0)
                        .build()
                        .unwrap();
                    while !killed.load(Ordering::Relaxed) {
                        if let Ok(job) = client.dispatch_bot(far_ahead()) {
                            acknowledged.lock().unwrap().insert(job.id.clone());
                        }
                    }
                });
            }
            // The kill comes while calls are under way, after another number of answers in each round.
            while acknowledged.lock().unwrap().len() < enough {
                std::thread::yield_now();
            }
            server.kill();
            killed.store(true, Ordering::Relaxed);
        });
    }
    let (_server, url) = serve(data.path(), None);
    let client = client(&url, &key);
    let stored: HashSet<String> =
        client.bots(&meetbot::ListBots::default()).map(|job| job.unwrap().id).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= KILLS);
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged jobs are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

/// A job whose time never comes while the test runs.
pub(crate) fn far_ahead() -> NewJob {
    #[expect(clippy::disallowed_methods, reason = "a time ahead of the server's clock")]
    let now = meetbot::Timestamp::from(std::time::SystemTime::now());
    NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers".to_owned(),
        join_at: Some(now + Duration::from_hours(24)),
        ..NewJob::default()
    }
}

/// As many as fit into the time of a test; `cargo xtask bench kills` is for those who have more of it.
const KILLS_OF_ALL: usize = 30;

#[test]
fn all_guarantees_hold_over_kills_under_load() {
    let survived = kill_repeatedly(KILLS_OF_ALL);
    println!("{survived}");
    // Without a lost bot the run would prove nothing.
    assert_eq!(survived.jobs, 8 * KILLS_OF_ALL);
    assert!(survived.asked_again > 0 && survived.lost_bots > 0 && survived.doubled > 0);
    assert!(survived.continued > 0);
}
