//! Deleting a recording: nothing of it stays, and the receipt says what there was.

use std::fs;

use meetbot::{ErrorKind, JobStatus, NewJob};
use tempfile::TempDir;

use crate::program::{PATIENCE, client, create_key, serve};

#[test]
fn a_deleted_recording_is_gone_and_the_receipt_lists_it() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let meeting_url = "https://sandbox.meetbot.dev/two-speakers?seconds=2".to_owned();
    let id =
        client.dispatch_bot(NewJob { meeting_url, ..NewJob::default() }).unwrap().id.to_string();
    let early = client.delete_recording(&id).unwrap_err();
    assert_eq!(
        (early.kind(), early.code().unwrap().as_str()),
        (ErrorKind::Conflict, "invalid_state"),
        "{early}"
    );
    let job = client.wait_for_bot(&id, Some(PATIENCE)).unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    let manifest = client.manifest(&id).unwrap();
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
        receipt.removed.into_iter().map(|object| (object.name, object.bytes)).collect();
    assert_eq!(removed.pop().unwrap().0, "e1/manifest.json", "it goes last");
    removed.sort();
    assert_eq!(removed, expected);
    assert!(!folder.exists());

    let job = client.get_bot(&id).unwrap().unwrap();
    assert_eq!((job.status, job.manifest_uri), (JobStatus::Completed, None));
    assert_eq!(job.recording.deleted_at, Some(receipt.deleted_at));
    assert_eq!(client.manifest(&id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(client.artifact(&id, "events.jsonl").unwrap_err().kind(), ErrorKind::NotFound);
    let again = client.delete_recording(&id).unwrap();
    assert_eq!(
        (again.deleted_at, again.removed.len(), again.already_gone.len()),
        (receipt.deleted_at, 0, 0)
    );
}
