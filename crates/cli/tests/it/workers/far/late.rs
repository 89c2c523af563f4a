//! What a killed worker uploads while another one continues its recording.

use std::{fs, path::Path};

use meetbot::JobStatus;
use meetbot_testkit::polling::poll_until;

use super::Far;
use crate::{
    bucket_server::Fault,
    program::{PATIENCE, await_job, manifest_of},
    workers::dispatch,
};

#[test]
fn what_a_killed_worker_uploads_when_it_is_back_is_in_the_recording_of_its_successor() {
    let far = Far::new();
    let first = far.worker(0);
    let id = far.recording(0, 40);
    far.logged(&id, 1);
    // Seconds of sound that are not in the bucket yet.
    let voice = far.attempt(0, &id, 1).join("audio.Alice.webm");
    grown(&voice, fs::metadata(&voice).unwrap().len() + 12_000);
    first.kill();
    let recorded_ms = xtask::ffmpeg::plays_to_ms(&voice).unwrap();
    let _second = far.worker(1);
    await_job(&far.client, &id, |job| job.attempt == 2 && job.status == JobStatus::Recording);
    let _first = far.worker(0);
    far.is_whole(&id, 2);
    far.continued_with_a_gap(&id);
    let manifest = manifest_of(&far.client, &id);
    let of_first = manifest.tracks.iter().find(|track| track.file == "audio.Alice.webm").unwrap();
    assert!(of_first.duration_ms + 50 >= recorded_ms, "{recorded_ms}: {manifest:#?}");
}

#[test]
fn files_and_chat_that_began_after_the_last_upload_are_in_the_recording_of_the_successor() {
    begun_late_is_in_the_recording(1);
}

#[test]
fn a_recording_of_which_nothing_was_uploaded_is_in_that_of_the_successor() {
    begun_late_is_in_the_recording(0);
}

/// A worker uploads so many times, every 5 s, before it is killed. After that Alice writes, at 10 s, and Carol joins, at 17 s.
fn begun_late_is_in_the_recording(uploads: u32) {
    let far = Far::new();
    far.bucket.let_pass("PUT", "/log/", uploads);
    far.bucket.fault("PUT", "/log/", None, Fault::Refused(503, "SlowDown"));
    let first = far.worker(0);
    let id = &dispatch(&far.client, 50);
    let folder = far.attempt(0, id, 1);
    let carol = folder.join("audio.Carol.webm");
    grown(&carol, 6_000);
    first.kill();
    let chat = fs::read_to_string(folder.join("chat.jsonl")).unwrap();
    assert!(chat.contains(WELCOME), "{chat}");
    let carols_ms = xtask::ffmpeg::plays_to_ms(&carol).unwrap();
    let uploaded = far.bucket.of_job(id);
    assert_eq!(uploaded.len(), uploads as usize);
    for (name, object) in &uploaded {
        let object = String::from_utf8_lossy(object);
        assert!(!object.contains(WELCOME), "{name}: {object}");
    }
    far.bucket.lift();
    let _second = far.worker(1);
    await_job(&far.client, id, |job| job.attempt == 2 && job.status == JobStatus::Recording);
    let own = fs::read_to_string(far.attempt(1, id, 2).join("chat.jsonl")).unwrap_or_default();
    assert!(!own.contains(WELCOME), "the successor does not know it: {own}");
    let _first = far.worker(0);
    far.is_whole(id, 2);
    far.continued_with_a_gap(id);
    let manifest = manifest_of(&far.client, id);
    let track = manifest.tracks.iter().find(|track| track.file == "audio.Carol.webm");
    let track = track.unwrap_or_else(|| panic!("{manifest:#?}"));
    assert!(track.duration_ms + 50 >= carols_ms, "{carols_ms}: {manifest:#?}");
    let [first, second] = &manifest.attempts[..] else { panic!("{manifest:#?}") };
    assert_eq!((&*first.outcome, first.joined_ms), ("lost", Some(0)), "{manifest:#?}");
    assert!(first.ended_ms.unwrap() + 500 >= track.start_ms + carols_ms, "{manifest:#?}");
    assert!(track.start_ms + track.duration_ms <= second.joined_ms.unwrap(), "{manifest:#?}");
    let chat = far.client.artifact(id, "chat.jsonl").unwrap();
    let chat = String::from_utf8(chat.to_vec()).unwrap();
    assert_eq!(chat.matches(WELCOME).count(), 1, "{chat}");
}

/// The first message of the meeting.
const WELCOME: &str = "Welcome!";

fn grown(file: &Path, most: u64) {
    poll_until(PATIENCE, || match fs::metadata(file).map_or(0, |file| file.len()) {
        bytes if bytes > most => Ok(()),
        bytes => Err(format!("{bytes} bytes of {}", file.display())),
    });
}
