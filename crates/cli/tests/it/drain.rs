//! SIGTERM: no new jobs, meetings to their end or handed over whole, and a second one that does not wait.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use meetbot::{JobStatus, NewJob, Request, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use tempfile::TempDir;
use xtask::ffmpeg::decodes;

use crate::{
    doctor::{check, doctor},
    program::{
        PATIENCE, await_job, client, create_key, manifest_of, mixed, sandbox, serve, serve_with,
    },
};

const DRAIN: &str = "MEETBOT_SERVER_DRAIN_SECONDS";

/// What comes in the end.
fn awaited<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    poll_until(PATIENCE * 2, || look().ok_or(what))
}

fn dispatch(client: &MeetBot, seconds: u32) -> String {
    let meeting_url = format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}");
    client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
}

/// Waits until the server says that it takes no more jobs.
fn await_draining(url: &str, key: &str) {
    let client = MeetBot::builder().api_key(key).base_url(url).max_retries(0).build().unwrap();
    let refusal =
        awaited("the refusal", || client.request(Request::new("GET", "/readyz").unwrap()).err());
    assert_eq!(refusal.status(), Some(503), "{refusal}");
    assert!(refusal.to_string().contains("takes no more jobs"), "{refusal}");
}

#[test]
fn a_draining_server_finishes_meetings_and_leaves_new_jobs_queued() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve_with(data.path(), None, &[(DRAIN, "300")]);
    let (key, _) = create_key(data.path(), &[]);
    let one = client(&url, &key);
    let first = dispatch(&one, 6);
    await_job(&one, &first, |job| job.status == JobStatus::Recording);
    server.signal();
    await_draining(&url, &key);
    let output = doctor(data.path(), &["--listen", url.strip_prefix("http://").unwrap()]);
    let (state, found, remedy) = check(&output, "ready");
    assert_eq!((state.as_str(), output.code), ("fail", Some(1)), "{output:?}");
    assert!(found.contains("takes no more jobs"), "{found}");
    assert_eq!(remedy, "nothing: it is stopping, and ends by itself");
    // The API serves on: a job is taken on, and a bot still obeys.
    let second = dispatch(&one, 2);
    one.send_chat_message(&first, "still here").unwrap();
    assert_eq!(server.ended(), Some(0));

    let (_server, url) = serve(data.path(), None);
    let next = client(&url, &key);
    let job = next.get_bot(&first).unwrap().unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    assert!(manifest_of(&next, &first).complete);
    let job = await_job(&next, &second, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
}

#[test]
fn a_meeting_that_takes_too_long_is_handed_over_with_whole_files() {
    let data = TempDir::new().unwrap();
    let (_sandbox, address) = sandbox();
    let (server, url) = serve_with(data.path(), Some(&address), &[(DRAIN, "1")]);
    let (key, _) = create_key(data.path(), &[]);
    let one = client(&url, &key);
    let id = dispatch(&one, 15);
    await_job(&one, &id, |job| job.status == JobStatus::Recording);
    assert_eq!(server.terminate(), Some(0));
    let first = data.path().join(format!("recordings/{id}/e1"));
    let left: Vec<_> = fs::read_dir(&first)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "webm"))
        .collect();
    assert!(left.len() >= 2, "{left:?}");
    for file in &left {
        decodes(file);
    }

    let (_server, url) = serve(data.path(), Some(&address));
    let next = client(&url, &key);
    let job = await_job(&next, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 2), "{job:#?}");
    let manifest = manifest_of(&next, &id);
    let outcomes: Vec<&str> =
        manifest.attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["handed_over", "left"], "{manifest:#?}");
    let statuses: Vec<String> = next
        .events(&id, None)
        .unwrap()
        .data
        .into_iter()
        .filter(|event| event.event == "job.status_changed")
        .map(|event| event.data.status.unwrap().to_string())
        .collect();
    let expected = [
        "joining",
        "in_call",
        "recording",
        "queued",
        "joining",
        "in_call",
        "recording",
        "finalizing",
        "completed",
    ];
    assert_eq!(statuses, expected);
}

/// Writes an ffmpeg that runs this script; returns the search path with it.
pub(crate) fn scripted_ffmpeg(folder: &Path, script: &str) -> String {
    let program = folder.join("ffmpeg");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// An ffmpeg that never ends and writes its process id; returns the search path with it.
pub(crate) fn endless_ffmpeg(folder: &Path) -> String {
    let pid = folder.join("pid");
    scripted_ffmpeg(folder, &format!("echo $$ > {}\nexec sleep 3600", pid.display()))
}

/// The process id of the ffmpeg that is never done, once it runs.
pub(crate) fn ffmpeg_of(folder: &Path) -> u32 {
    awaited("the mix", || fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok())
}

#[test]
fn a_stopping_server_ends_ffmpeg_and_the_next_one_makes_the_mix() {
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = endless_ffmpeg(tools.path());
    let (mut server, url) = serve_with(data.path(), None, &[("PATH", &path)]);
    let (key, _) = create_key(data.path(), &[]);
    let one = client(&url, &key);
    let id = dispatch(&one, 3);
    let pid = ffmpeg_of(tools.path());
    // The job waits for no mix either.
    await_job(&one, &id, |job| job.status == JobStatus::Completed);
    assert!(one.manifest(&id).unwrap().mixed.is_pending());
    server.signal();
    let ended = awaited("the end", || server.child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "ffmpeg is ended");

    let (_server, url) = serve(data.path(), None);
    let next = client(&url, &key);
    let manifest = mixed(&next, &id);
    assert!(manifest.complete, "{manifest:#?}");
    assert!(manifest.mixed.file.is_some(), "this test needs ffmpeg: {:?}", manifest.mixed);
    decodes(&data.path().join(format!("recordings/{id}/e1/audio.mixed.webm")));
    let job = next.get_bot(&id).unwrap().unwrap();
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
}

#[test]
fn a_recording_is_deleted_although_ffmpeg_hangs_over_its_mix() {
    let (data, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = endless_ffmpeg(tools.path());
    let (_server, url) = serve_with(data.path(), None, &[("PATH", &path)]);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let id = dispatch(&client, 2);
    let pid = ffmpeg_of(tools.path());
    await_job(&client, &id, |job| job.status == JobStatus::Completed);
    let folder = data.path().join(format!("recordings/{id}"));
    assert!(folder.exists());
    client.delete_recording(&id).unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "ffmpeg is ended");
    assert!(!folder.exists());
}

#[test]
fn a_second_signal_does_not_wait() {
    let data = TempDir::new().unwrap();
    let (server, url) = serve_with(data.path(), None, &[(DRAIN, "3600")]);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let id = dispatch(&client, 600);
    await_job(&client, &id, |job| job.status == JobStatus::Recording);
    server.signal();
    await_draining(&url, &key);
    assert_eq!(server.terminate(), Some(1));
}
