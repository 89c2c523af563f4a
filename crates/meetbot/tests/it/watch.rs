//! A job's events, live.

use futures_util::TryStreamExt as _;
use meetbot::{CallOptions, ErrorKind};

use crate::server::{Reply, Server, answer};

/// An event as the server writes it.
fn event(sequence: u32, status: &str) -> String {
    let vectors = xtask::spec_file::read_json("spec/vectors/models.json");
    let known =
        vectors["cases"].as_array().unwrap().iter().find(|case| case["model"] == "timeline_event");
    let mut event = known.unwrap()["json"].clone();
    event["data"]["sequence"] = sequence.into();
    event["data"]["status"] = status.into();
    format!("id: {sequence}\nevent: job.status_changed\ndata: {event}\n\n")
}

/// A stream that breaks after these bytes.
fn torn(body: &str) -> Reply {
    Reply::raw(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999\r\n\r\n{body}").into_bytes())
}

fn whole(body: &str) -> Reply {
    answer(200, &[("Content-Type", "text/event-stream")], body)
}

#[tokio::test]
async fn a_broken_stream_resumes_after_the_last_complete_event() {
    let second = event(2, "in_call");
    let server = Server::start([
        torn(&format!("{}: alive\n\n{}", event(1, "joining"), &second[..40])),
        answer(503, &[("Retry-After", "0")], ""),
        // The server was restarted: it ends the stream, and the job has not ended.
        whole(&second),
        whole(&event(3, "completed")),
    ]);
    let events: Vec<_> = server.client().watch("job_x").unwrap().try_collect().await.unwrap();
    let seen: Vec<String> = events
        .iter()
        .map(|event| format!("{} {}", event.data.sequence, event.data.status.as_ref().unwrap()))
        .collect();
    assert_eq!(seen, ["1 joining", "2 in_call", "3 completed"]);
    let requests = server.requests();
    let ids: Vec<_> = requests.iter().map(|request| request.header("last-event-id")).collect();
    assert_eq!(ids, [None, Some("1"), Some("1"), Some("2")]);
    assert!(requests.iter().all(|request| request.header("accept") == Some("text/event-stream")));
}

#[tokio::test]
async fn a_stream_without_statuses_ends_with_the_final_event() {
    let server = Server::start([whole(
        "data: {\"event\":\"job.status_changed\",\"data\":{\"sequence\":1}}\n\ndata: {\"event\":\"job.finalized\",\"data\":{\"sequence\":2}}\n\n",
    )]);
    let events: Vec<_> = server.client().watch("job_x").unwrap().try_collect().await.unwrap();
    assert!(events.iter().all(|event| event.data.status.is_none()), "{events:?}");
    assert_eq!((events.len(), server.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_stream_with_keepalives_is_reconnected_without_a_limit() {
    let server = Server::start([
        torn(": alive\n\n"),
        whole(": alive\n\n"),
        torn(": alive\n\n"),
        whole(&event(1, "completed")),
    ]);
    let client = server.client().with(CallOptions::new().max_retries(1)).unwrap();
    let events: Vec<_> = client.watch("job_x").unwrap().try_collect().await.unwrap();
    assert_eq!((events.len(), server.requests().len()), (1, 4));
}

#[tokio::test]
async fn streams_without_data_are_given_up() {
    let server = Server::start([torn(": alive\n\n"), whole(""), whole("")]);
    let client = server.client().with(CallOptions::new().max_retries(1)).unwrap();
    let error = client.watch("job_x").unwrap().try_next().await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Connection, 2));
    assert_eq!(error.attempts(), 2);
}

#[test]
fn a_failed_watch_returns_one_error_and_ends() {
    for (reply, kind) in [
        (
            answer(404, &[], r#"{"error":"not_found","message":"there is no such job"}"#),
            ErrorKind::NotFound,
        ),
        (answer(200, &[], "{}"), ErrorKind::Decode),
        (whole("data: nonsense\n\n"), ErrorKind::Decode),
        (whole(""), ErrorKind::Connection),
    ] {
        let server = Server::start([reply]);
        let client = server.blocking().with(CallOptions::new().max_retries(0)).unwrap();
        let mut events = client.watch("job_x").unwrap();
        let error = events.next().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, 1));
        assert!(events.next().is_none());
    }
}

#[test]
fn a_blocking_watch_gives_each_event_and_ends_with_the_job() {
    let server = Server::start([whole(&(event(1, "joining") + &event(2, "failed")))]);
    let events: Result<Vec<_>, _> = server.blocking().watch("job_x").unwrap().collect();
    assert_eq!(events.unwrap().len(), 2);
}
