//! Files from the server to the disk.

use meetbot::ErrorKind;
use meetbot_testkit::scripted::Then;

use crate::server::{Reply, Server, answer};

fn cut(bytes: &str, of: usize, range: &str) -> Reply {
    let status = if range.is_empty() { "200 OK" } else { "206 Partial Content" };
    Reply::raw(
        format!("HTTP/1.1 {status}\r\nContent-Length: {of}\r\n{range}\r\n{bytes}").into_bytes(),
    )
}

#[tokio::test]
async fn a_download_resumes_after_a_broken_connection() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("audio.webm");
    let server = Server::start([
        cut("01234", 10, ""),
        cut("56", 5, "Content-Range: bytes 5-9/10\r\n"),
        answer(206, &[("Content-Range", "bytes 7-9/10")], "789"),
    ]);
    let bytes = server.client().download_artifact("job_x", "audio.webm", &target).await.unwrap();
    assert_eq!((bytes, std::fs::read(&target).unwrap().as_slice()), (10, &b"0123456789"[..]));
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("range").map(ToOwned::to_owned))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=5-".to_owned()), Some("bytes=7-".to_owned())]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn two_downloads_of_one_file_use_separate_partial_files() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("audio.webm");
    std::fs::write(folder.path().join("audio.webm.part"), "somebody's").unwrap();
    let server = Server::start([
        Reply { then: Then::Hangs, ..cut("01234", 10, "") },
        answer(200, &[], "0123456789"),
    ]);
    let (client, into) = (server.client(), target.clone());
    let cut_off =
        tokio::spawn(async move { client.download_artifact("job_x", "audio.webm", into).await });
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    server.client().download_artifact("job_x", "audio.webm", &target).await.unwrap();
    cut_off.abort();
    assert!(cut_off.await.is_err());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "0123456789");
    let theirs = std::fs::read_to_string(folder.path().join("audio.webm.part")).unwrap();
    assert_eq!(theirs, "somebody's");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing is left of the other"
    );
}

#[test]
fn a_download_restarts_if_the_server_has_no_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("chat.jsonl");
    let server = Server::start([cut("01234", 10, ""), answer(200, &[], "0123456789")]);
    let bytes = server.blocking().download_artifact("job_x", "chat.jsonl", &target).unwrap();
    assert_eq!((bytes, std::fs::read(&target).unwrap().as_slice()), (10, &b"0123456789"[..]));
}

#[tokio::test]
async fn a_response_with_another_range_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("audio.webm");
    let other = answer(206, &[("Content-Range", "bytes 5-9/10")], "56789");
    let server = Server::start([other]);
    let error =
        server.client().download_artifact("job_x", "audio.webm", &target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// An answer of unknown length, in chunks. It says that the connection is closed after it: another request on it would be a try more, by luck.
fn chunked(head: &str, bytes: &str) -> Reply {
    let head =
        format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    Reply::raw(format!("{head}{:x}\r\n{bytes}\r\n0\r\n\r\n", bytes.len()).into_bytes())
}

/// Downloads into a file and into memory from a server that sends without end; `replies` is called for each.
async fn sends_too_much(replies: impl Fn() -> Vec<Reply>) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("audio.webm");
    let server = Server::start(replies());
    let result =
        server.client().download_artifact("job_x", "audio.webm", &target).await.unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is kept");
    let server = Server::start(replies());
    let in_memory = server.client().artifact("job_x", "audio.webm").await.unwrap_err();
    for error in [result, in_memory] {
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Decode, 1));
        assert!(error.message().contains("more than it said"), "{error}");
    }
}

#[tokio::test]
async fn bytes_beyond_the_announced_size_are_not_stored() {
    let first = "206 Partial Content\r\nContent-Range: bytes 0-3/10";
    sends_too_much(|| vec![chunked(first, "0123456789")]).await;
    let second = "206 Partial Content\r\nContent-Range: bytes 4-9/10";
    sends_too_much(|| vec![chunked(first, "0123"), chunked(second, "456789ab")]).await;
}

#[tokio::test]
async fn a_short_response_is_completed_by_another_request() {
    let parts = [("bytes 0-3/10", "0123"), ("bytes 4-5/10", "45"), ("bytes 6-9/10", "6789")];
    let server =
        Server::start(parts.map(|(range, bytes)| answer(206, &[("Content-Range", range)], bytes)));
    assert_eq!(server.client().artifact("job_x", "a").await.unwrap(), "0123456789");
    let asked: Vec<_> = server
        .requests()
        .iter()
        .map(|asked| asked.header("range").map(ToOwned::to_owned))
        .collect();
    assert_eq!(asked, [None, Some("bytes=4-".to_owned()), Some("bytes=6-".to_owned())]);
}

#[tokio::test]
async fn a_file_of_another_size_than_in_the_manifest_is_not_stored() {
    let short = || answer(200, &[], "012");
    let long = || answer(200, &[], "01234");
    let endless = || chunked("200 OK", &"0".repeat(100_000));
    for (invalid, why) in [(short(), "3"), (long(), "5"), (endless(), "more than it said")] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start([manifest("made", Some(("audio.a.webm", HASH))), invalid]);
        let result = server.client().download_artifacts("job_x", folder.path(), true).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.message().contains(why), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is kept");
        assert_eq!(server.requests().len(), 2, "an invalid answer is not retried");
    }
}

#[tokio::test]
async fn a_file_of_unknown_size_is_bounded_in_memory() {
    let endless = || chunked("200 OK", &"0".repeat((64 << 20) + 1));
    let server = Server::start([endless()]);
    let error = server.client().artifact("job_x", "a").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Decode && error.message().contains("64 MiB"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([endless()]);
    let target = folder.path().join("a");
    let bytes = server.client().download_artifact("job_x", "a", &target).await.unwrap();
    assert_eq!(bytes, (64 << 20) + 1);
}

/// Its file shrinks and grows with each answer: what it sends again is no progress.
#[tokio::test]
async fn a_server_that_restarts_its_stream_endlessly_is_given_up() {
    let replies = (0..40).map(|number| cut(["012", "0123"][number % 2], 10, ""));
    let server = Server::start(replies);
    let mb = server.client().with(meetbot::CallOptions::new().max_retries(1)).unwrap();
    let error = mb.artifact("job_x", "a").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connection, 2), "{error}");
    assert!(server.requests().len() <= 5, "{}", server.requests().len());
}

/// A manifest with this one file, and a mix in this state.
fn manifest(state: &str, file: Option<(&str, &str)>) -> Reply {
    let vectors = xtask::spec_file::read_json("spec/vectors/models.json");
    let cases = vectors["cases"].as_array().unwrap();
    let mut manifest =
        cases.iter().find(|case| case["model"] == "manifest").unwrap()["json"].clone();
    manifest["mixed"] = serde_json::json!({"state": state, "file": null, "missingBecause": null});
    let entry = |(name, sha256)| serde_json::json!({"name": name, "mediaType": "audio/webm", "bytes": 4, "sha256": sha256});
    manifest["files"] = file.into_iter().map(entry).collect();
    answer(200, &[], &manifest.to_string())
}

/// The SHA-256 of `0123`.
const HASH: &str = "1be2e452b46d7a0d9656bbb1f768e8248eba1b75baed65f5d99eafa948899a6a";

#[tokio::test]
async fn a_download_waits_for_pending_files_and_checks_them() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("new/folder");
    let mix = Some(("audio.mixed.webm", HASH));
    let server = Server::start([
        manifest("pending", None),
        manifest("pending", None),
        manifest("made", mix),
        answer(200, &[], "0123"),
        answer(200, &[], "{}"),
    ]);
    let paths = server.client().download_artifacts("job_x", &into, true).await.unwrap();
    assert_eq!(paths, ["audio.mixed.webm", "manifest.json"].map(|name| into.join(name)));
    assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), "0123");

    for (state, waits) in [("pending", false), ("unavailable", true), ("a new word", true)] {
        let server = Server::start([manifest(state, None), answer(200, &[], "{}")]);
        let paths = server.client().download_artifacts("job_x", &into, waits).await.unwrap();
        assert_eq!(paths.len(), 1, "{state}");
    }
}

#[test]
fn a_file_that_differs_from_the_manifest_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sent, said) in [
        ("audio.webm", "4567", "SHA-256"),
        ("../evil", "0123", "no file's name"),
        ("a\\b", "0123", "no file's name"),
    ] {
        let server = Server::start([manifest("made", Some((name, HASH))), answer(200, &[], sent)]);
        let refused =
            server.blocking().download_artifacts("job_x", folder.path(), true).unwrap_err();
        assert_eq!((refused.kind(), refused.attempts()), (ErrorKind::Decode, 1));
        assert!(refused.to_string().contains(said), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_large_error_body_is_not_read_into_memory() {
    let endless = answer(404, &[], &" ".repeat(70 << 20));
    let server = Server::start([endless]);
    let error = server.client().artifact("job_x", "chat.jsonl").await.unwrap_err();
    assert_eq!((error.kind(), error.body()), (ErrorKind::UnexpectedStatus, Some("")));
}

#[test]
fn a_failed_download_keeps_the_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("manifest.json");
    std::fs::write(&target, "the old one").unwrap();
    let server =
        Server::start([answer(404, &[], r#"{"error":"not_found","message":"no such file"}"#)]);
    let error = server.blocking().download_artifact("job_x", "manifest.json", &target).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 1));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "the old one");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = server
        .blocking()
        .download_artifact("job_x", "a", folder.path().join("no/such/folder"))
        .unwrap_err();
    assert!(error.kind() == ErrorKind::File && error.to_string().contains("no/such"), "{error}");
}
