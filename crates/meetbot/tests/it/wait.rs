//! Waiting for a job: by its events where they come, by asking where they do not.

use std::time::Duration;

use meetbot::{CallOptions, ErrorKind};
use meetbot_testkit::scripted::Then;

use crate::server::{Reply, Server, answer, job};

/// Answers a job's questions and its stream of events apart, since they come side by side.
fn server(jobs: &[&str], events: &[Reply]) -> Server {
    let jobs = jobs.iter().map(|status| answer(200, &[], &job(1, status)));
    Server::with_events(jobs, events.iter().cloned())
}

/// A stream that has reported one change and stays open.
fn change_then_silence() -> Reply {
    let vectors = xtask::spec_file::read_json("spec/vectors/models.json");
    let known =
        vectors["cases"].as_array().unwrap().iter().find(|case| case["model"] == "timeline_event");
    let event = &known.unwrap()["json"];
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    Reply { then: Then::Hangs, ..Reply::raw(format!("{stream}id: 1\ndata: {event}\n\n")) }
}

#[tokio::test]
async fn an_event_causes_a_request_at_once_and_each_state_is_shown_once() {
    let server = server(&["joining", "completed"], &[change_then_silence()]);
    let mut shown = Vec::new();
    let client = server.client();
    let waited = client.wait_for_bot_with("job_x", None, |job| {
        shown.push(job.status.to_string());
    });
    // Without the event the second question comes after 2 s.
    let job = tokio::time::timeout(Duration::from_millis(1_900), waited).await.unwrap().unwrap();
    assert_eq!(
        (job.status.as_str(), shown.join(" ")),
        ("completed", "joining completed".to_owned())
    );
}

#[tokio::test]
async fn a_job_with_only_the_required_fields_can_be_waited_for() {
    let little = |status: &str| {
        answer(200, &[], &format!(r#"{{"id":"job_x","status":"{status}","recording":null}}"#))
    };
    let refusal = answer(404, &[], "<html>a proxy that knows no streams</html>");
    let server = Server::with_events([little("resting"), little("completed")], [refusal]);
    let job = server.client().wait_for_bot("job_x", None).await.unwrap();
    assert_eq!(
        (job.status.as_str(), job.created_at, job.recording.state),
        ("completed", None, None)
    );
    assert_eq!(server.requests().len(), 3, "a status that is not known is not final");
}

#[tokio::test]
async fn without_a_stream_of_events_a_wait_polls() {
    let refusal = answer(404, &[], "<html>a proxy that knows no streams</html>");
    let server = server(&["queued", "queued", "recording", "failed"], &[refusal]);
    let mut shown = Vec::new();
    let job = server
        .client()
        .wait_for_bot_with("job_x", None, |job| shown.push(job.status.to_string()))
        .await
        .unwrap();
    assert_eq!(
        (job.status.as_str(), shown.join(" ")),
        ("failed", "queued recording failed".to_owned())
    );
}

#[test]
fn the_blocking_wait_is_the_same_and_keeps_its_time() {
    let finished = server(&["joining", "cancelled"], &[change_then_silence()]);
    let mut shown = 0;
    let job = finished.blocking().wait_for_bot_with("job_x", None, |_| shown += 1).unwrap();
    assert_eq!((job.status.as_str(), shown), ("cancelled", 2));

    let endless = server(&["in_call"; 20], &[change_then_silence()]);
    let error = endless.blocking().wait_for_bot("job_x", Some(Duration::from_millis(300)));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("`in_call`"), "{error}");
}

#[tokio::test]
async fn a_request_that_hangs_does_not_outlive_the_wait() {
    let seen_once = answer(200, &[], &job(1, "in_call"));
    let server = Server::with_events([seen_once, Reply::hangs()], [Reply::hangs()]);
    let client = server.client().with(CallOptions::new().timeout(Duration::from_mins(1))).unwrap();
    let waited = client.wait_for_bot("job_x", Some(Duration::from_millis(600)));
    // A further request after the timeout would take a second more.
    let error = tokio::time::timeout(Duration::from_millis(1_500), waited).await.unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_job_that_is_not_there_is_an_error() {
    let gone = answer(404, &[], r#"{"error":"not_found","message":"there is no such job"}"#);
    let server = Server::with_events([gone.clone()], [gone]);
    let error = server.client().wait_for_bot("job_x", None).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.attempts()),
        (ErrorKind::NotFound, Some(404), 1)
    );
}
