//! Deleting a recording, and erasing a consumer: nothing of it stays, and the receipt says what there was.

use std::fs;

use meetbot::{ErrorKind, JobStatus, NewJob};
use tempfile::TempDir;

use crate::program::{PATIENCE, client, create_key, mixed, serve};

#[test]
fn a_deleted_recording_is_removed_and_listed_in_the_receipt() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=2".to_owned();
    let id = client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id;
    let early = client.delete_recording(&id).unwrap_err();
    assert_eq!(
        (early.kind(), early.code().unwrap().as_str()),
        (ErrorKind::Conflict, "invalid_state"),
        "{early}"
    );
    let job = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    let manifest = mixed(&client, &id);
    let folder = data.path().join(format!("recordings/{id}"));
    fs::remove_file(folder.join("e1/chat.jsonl")).unwrap();

    let receipt = client.delete_recording(&id).unwrap();
    assert_eq!(receipt.already_gone, ["e1/chat.jsonl"]);
    let mut expected: Vec<(String, u64)> = manifest
        .files
        .iter()
        .filter(|file| file.name != "chat.jsonl")
        .map(|file| (format!("e1/{}", file.name), file.bytes))
        .collect();
    expected.sort();
    let mut removed: Vec<(String, u64)> =
        receipt.removed.into_iter().map(|object| (object.name.unwrap(), object.bytes)).collect();
    assert_eq!(removed.pop().unwrap().0, "e1/manifest.json", "it goes last");
    removed.sort();
    assert_eq!(removed, expected);
    assert!(!folder.exists());

    let job = client.get_bot(&id).unwrap().unwrap();
    assert_eq!((job.status, job.manifest_uri), (JobStatus::Completed, None));
    assert_eq!(job.recording.deleted_at, receipt.deleted_at);
    assert_eq!(job.recording.bytes, Some(0));
    assert_eq!(client.manifest(&id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(client.artifact(&id, "events.jsonl").unwrap_err().kind(), ErrorKind::NotFound);
    let again = client.delete_recording(&id).unwrap();
    assert_eq!(
        (again.deleted_at, again.removed.len(), again.already_gone.len()),
        (receipt.deleted_at, 0, 0)
    );
}

#[test]
fn evidence_of_a_failed_join_is_listed_and_deleted_with_the_job() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let meeting_url = "https://sandbox.meetbot.dev/host-denies".to_owned();
    let id = client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id;
    let job = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!((job.status, job.manifest_uri), (JobStatus::Failed, None));
    assert!(client.artifacts(&id).unwrap().is_empty());
    // As a bot in a browser leaves it.
    let folder = data.path().join(format!("recordings/{id}"));
    fs::create_dir_all(folder.join("evidence")).unwrap();
    fs::write(folder.join("evidence/evidence-1-1.json"), "{}").unwrap();
    fs::write(folder.join("evidence/evidence-1-1.png"), "png").unwrap();
    let listed: Vec<_> = client
        .artifacts(&id)
        .unwrap()
        .into_iter()
        .map(|file| (file.name.unwrap(), file.media_type.unwrap(), file.bytes.unwrap()))
        .collect();
    let expected =
        [("evidence-1-1.json", "application/json", 2), ("evidence-1-1.png", "image/png", 3)];
    assert_eq!(
        listed,
        expected.map(|(name, kind, bytes)| (name.to_owned(), kind.to_owned(), bytes))
    );
    assert_eq!(client.artifact(&id, "evidence-1-1.png").unwrap(), "png");
    assert_eq!(client.artifact(&id, "evidence-2-1.png").unwrap_err().kind(), ErrorKind::NotFound);

    let receipt = client.delete_recording(&id).unwrap();
    let removed: Vec<_> =
        receipt.removed.iter().filter_map(|object| object.name.as_deref()).collect();
    assert_eq!(removed, ["evidence/evidence-1-1.json", "evidence/evidence-1-1.png"]);
    assert!(!folder.exists() && client.artifacts(&id).unwrap().is_empty());
    assert_eq!(client.artifact(&id, "evidence-1-1.png").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn erasing_a_consumer_removes_its_bots_and_data_and_no_others() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &["--consumer", "acme"]);
    let (admin, _) = create_key(data.path(), &["--consumer", "acme", "--scope", "admin"]);
    let (other, _) = create_key(data.path(), &["--consumer", "other"]);
    let [writer, admin, other] = [key, admin, other].map(|key| client(&url, &key));
    let dispatch = |client: &meetbot::blocking::MeetBot, seconds: u32| {
        let meeting_url = format!("https://sandbox.meetbot.dev/two-speakers?seconds={seconds}");
        client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id
    };
    let (done, theirs) = (dispatch(&writer, 1), dispatch(&other, 2));
    writer.wait_for_bot(&done, Some(PATIENCE)).unwrap();
    let running = dispatch(&writer, 600);
    while writer.get_bot(&running).unwrap().unwrap().status != JobStatus::Recording {}

    assert_eq!(writer.erase_consumer("acme").unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(admin.erase_consumer("acme inc").unwrap_err().kind(), ErrorKind::Validation);
    assert!(admin.get_bot(&running).unwrap().is_some(), "nothing has happened");

    let receipt = admin.erase_consumer("acme").unwrap();
    assert_eq!((receipt.consumer.as_deref(), receipt.jobs, receipt.keys), (Some("acme"), 2, 2));
    for job in [&done, &running] {
        let file = format!("{job}/e1/manifest.json");
        assert!(
            receipt.removed.iter().any(|object| object.name.as_ref() == Some(&file)),
            "{file}: {receipt:#?}"
        );
        assert!(!data.path().join("recordings").join(job).exists());
    }
    for client in [&writer, &admin] {
        assert_eq!(client.get_bot(&done).unwrap_err().kind(), ErrorKind::Unauthorized);
    }
    let job = other.wait_for_bot(&theirs, Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    assert!(other.manifest(&theirs).is_ok());
}
