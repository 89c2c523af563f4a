//! Invalid answers of a server: each has its documented error, which contains the body and never the key.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use meetbot::{CallOptions, ErrorKind};
use serde_json::Value;
use xtask::spec_file;

use crate::server::{KEY, Reply, Server, answer, job};

#[tokio::test]
async fn a_body_that_is_not_json_is_shown_unchanged() {
    for body in ["<html>hello</html>", "", "[]", r#"{"id":"job_1"}"#] {
        let server = Server::start([answer(200, &[("X-Request-Id", "req_7")], body)]);
        let error = server.client().get_bot("job_x").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status(), error.body()),
            (ErrorKind::Decode, Some(200), Some(body))
        );
        assert_eq!(error.request_id(), Some("req_7"));
        assert_eq!(server.requests().len(), 1, "an invalid answer is not retried");
    }
}

#[tokio::test]
async fn a_truncated_body_is_requested_again() {
    let cut = Reply::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"id\":".to_vec());
    let reset = Reply::raw(Vec::new());
    let server = Server::start([cut, reset, answer(200, &[], &job(1, "recording"))]);
    let job = server.client().get_bot("job_x").await.unwrap().unwrap();
    assert_eq!(job.status, "recording");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_key_in_a_response_is_redacted() {
    let echo = format!(r#"{{"error":"forbidden","message":"{KEY} may not"}}"#);
    for (status, body) in [(403, echo.as_str()), (502, KEY), (200, KEY)] {
        let server = Server::start([answer(status, &[], body), answer(status, &[], body)]);
        let mb = server.client().with(CallOptions::new().max_retries(0)).unwrap();
        let error = mb.get_bot("job_x").await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.body());
        assert!(!shown.contains(KEY) && shown.contains("mb_…"), "{shown}");
    }
}

#[tokio::test]
async fn keys_and_signatures_of_a_redirect_are_redacted_in_errors() {
    let target = format!("http://127.0.0.1:1/{KEY}?X-Amz-Signature=s3cret");
    let server = Server::start((0..9).map(|_| answer(302, &[("Location", &target)], "")));
    let mb = server.client().with(CallOptions::new().max_retries(0)).unwrap();
    for error in
        [mb.get_bot("job_x").await.unwrap_err(), mb.artifact("job_x", "a").await.unwrap_err()]
    {
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("127.0.0.1:1/mb_…"), "{shown}");
        assert!(!shown.contains(KEY) && !shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn an_endless_response_is_bounded_in_memory() {
    let mut endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_vec();
    endless.resize(70 << 20, b' ');
    let server = Server::start([Reply::raw(endless)]);
    let error = server.client().get_bot("job_x").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Decode && error.to_string().contains("64 MiB"), "{error}");
}

#[tokio::test]
async fn only_redirects_of_artifacts_are_followed_and_without_the_key() {
    let store = Server::start([answer(200, &[], "the bytes")]);
    let presigned = format!("{}/bucket/object?signature=1", store.url());
    let server = Server::start([
        answer(302, &[("Location", "/api/v1/moved")], ""),
        answer(307, &[("Location", &presigned)], ""),
        answer(302, &[("Location", &presigned)], "a page"),
        answer(308, &[("Location", &presigned)], "a page"),
        answer(302, &[("Location", &presigned)], "a page"),
    ]);
    let mb = server.client();
    assert_eq!(mb.artifact("job_x", "chat.jsonl").await.unwrap(), "the bytes");
    let errors = [
        mb.get_bot("job_x").await.unwrap_err(),
        mb.leave_bot("job_x").await.unwrap_err(),
        mb.watch("job_x").unwrap().try_next().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.body()), (ErrorKind::UnexpectedStatus, Some("a page")));
        let shown = error.to_string();
        assert!(shown.contains(&store.url()) && !shown.contains("signature"), "{shown}");
    }
    let keys: Vec<_> =
        server.requests().iter().map(|sent| sent.header("authorization").is_some()).collect();
    assert_eq!(keys, [true, false, true, true, true]);
    assert_eq!(store.requests().len(), 1);
    assert_eq!(store.requests()[0].header("authorization"), None);
    let circle = Server::start((0..9).map(|_| answer(302, &[("Location", "/")], "")));
    let error = circle.client().artifact("job_x", "chat.jsonl").await.unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
    assert_eq!(circle.requests().len(), 6);
}

/// The replies of the server in a case of `spec/vectors/lies.json`.
fn reply(case: &Value) -> Reply {
    let bytes = |name: &str| case[name].as_str().unwrap_or_default().as_bytes().to_vec();
    let then = serde_json::from_value(case["then"].clone()).unwrap();
    Reply { then, flood: bytes("flood"), ..Reply::raw(bytes("answer")) }
}

#[tokio::test]
async fn every_invalid_answer_has_its_error() {
    for case in spec_file::read_json("spec/vectors/lies.json")["cases"].as_array().unwrap() {
        let retries = case["maxRetries"].as_u64().unwrap();
        let server = Server::start((0..=retries).map(|_| reply(case)));
        let mut options = CallOptions::new().max_retries(u32::try_from(retries).unwrap());
        if let Some(limit) = case["timeoutMs"].as_u64() {
            options = options.timeout(Duration::from_millis(limit));
        }
        let error = server.client().with(options).unwrap().get_bot("job_1").await.unwrap_err();
        let expect = &case["expect"];
        let found = (error.kind().as_str(), u64::from(error.attempts()));
        let wanted = (expect["kind"].as_str().unwrap(), expect["attempts"].as_u64().unwrap());
        assert_eq!(found, wanted, "{}: {error}", case["name"]);
        let body = |text: Option<&'_ str>| text.unwrap_or_default().to_owned();
        let found = (error.status().map(u64::from), body(error.body()));
        let wanted = (expect["status"].as_u64(), body(expect["body"].as_str()));
        assert_eq!(found, wanted, "{}: {error}", case["name"]);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(KEY) && !shown.contains("x=1"), "{shown}");
    }
}
