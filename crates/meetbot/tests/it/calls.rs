//! Calls that go as they should, or do so after a while.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use meetbot::{CallOptions, ErrorKind, Job, JobStatus, ListBots, MeetBot, NewJob};

use crate::server::{KEY, Server, answer, job};

fn new_job() -> NewJob {
    NewJob {
        meeting_url: "https://sandbox.meetbot.dev/two-speakers".to_owned(),
        ..NewJob::default()
    }
}

fn busy() -> crate::server::Reply {
    answer(503, &[("Retry-After", "0")], r#"{"error":"unavailable","message":"in a moment"}"#)
}

#[tokio::test]
async fn all_tries_of_a_call_have_one_idempotency_key_and_each_call_another() {
    let server = Server::start([
        busy(),
        busy(),
        answer(201, &[], &job(1, "queued")),
        answer(201, &[], &job(2, "queued")),
    ]);
    let mb = server.client();
    mb.dispatch_bot(new_job()).await.unwrap();
    mb.dispatch_bot(new_job()).await.unwrap();
    let requests = server.requests();
    let keys: Vec<_> =
        requests.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
    for request in &requests {
        assert_eq!(request.line, "POST /api/v1/jobs HTTP/1.1");
        assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.text(), r#"{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers"}"#);
    }
}

#[tokio::test]
async fn options_can_be_set_for_a_single_call() {
    let server = Server::start([busy(), answer(201, &[], &job(1, "queued"))]);
    let mb = server.client();
    let once = mb.with(CallOptions::new().max_retries(0).idempotency_key("order-4711")).unwrap();
    let error = once.dispatch_bot(new_job()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.message()),
        (ErrorKind::Server, Some(503), "in a moment")
    );
    mb.dispatch_bot(new_job()).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].header("idempotency-key"), Some("order-4711"));
    assert_ne!(requests[1].header("idempotency-key"), Some("order-4711"));
    let bad = mb.with(CallOptions::new().idempotency_key("line\nbreak")).unwrap();
    assert_eq!(bad.dispatch_bot(new_job()).await.unwrap_err().kind(), ErrorKind::Configuration);
    assert_eq!(server.requests().len(), 2, "nothing was sent");
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout_and_no_server_a_connection_error() {
    let server = Server::start([crate::server::Reply::hangs()]);
    let mb = server
        .client()
        .with(CallOptions::new().timeout(Duration::from_millis(100)).max_retries(0))
        .unwrap();
    let error = mb.get_bot("job_x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("/api/v1/jobs/job_x"), "{error}");
    let nobody = MeetBot::builder()
        .api_key(KEY)
        .base_url("http://127.0.0.1:1")
        .max_retries(0)
        .build()
        .unwrap();
    let error = nobody.get_bot("job_x").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Connection, None), "{error}");
}

#[tokio::test]
async fn a_job_that_is_not_there_is_none_but_any_other_404_is_an_error() {
    let server = Server::start([
        answer(404, &[], r#"{"error":"not_found","message":"there is no such job"}"#),
        answer(404, &[], "<html>nginx</html>"),
        answer(404, &[], r#"{"error":"no_such_path","message":"there is nothing at /x"}"#),
        answer(404, &[], r#"{"detail":"Not Found"}"#),
        answer(404, &[], ""),
    ]);
    let mb = server.client();
    assert_eq!(mb.get_bot("job_x").await.unwrap(), None);
    for message in ["nginx", "there is nothing at /x", "Not Found", "no body"] {
        let error = mb.get_bot("job_x").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::UnexpectedStatus, Some(404)));
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.message().contains("is the base URL right?"), "{error}");
    }
}

#[tokio::test]
async fn a_base_url_that_ends_in_the_version_reaches_the_same_server() {
    let server = Server::start((0..3).map(|_| answer(200, &[], &job(1, "queued"))));
    for end in ["/api/v1", "/api/v1/", "/prefix/api/v1\n"] {
        let builder = MeetBot::builder().api_key(KEY).base_url(server.url() + end);
        assert!(builder.build().unwrap().get_bot("job_x").await.unwrap().is_some());
    }
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    let path = "/api/v1/jobs/job_x HTTP/1.1";
    assert_eq!(lines, [format!("GET {path}"), format!("GET {path}"), format!("GET /prefix{path}")]);
}

fn pages() -> [crate::server::Reply; 3] {
    let page = |ids: &[u32], next: &str| {
        let jobs: Vec<String> = ids.iter().map(|id| job(*id, "queued")).collect();
        answer(200, &[], &format!(r#"{{"data":[{}],"nextCursor":{next}}}"#, jobs.join(",")))
    };
    [page(&[3, 2], "\"a\""), page(&[], "\"b\""), page(&[1], "null")]
}

fn last_digits<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> String {
    jobs.into_iter().map(|job| job.id.clone().pop().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_a_stream_over_all_pages() {
    let server = Server::start(pages());
    let list = ListBots { status: vec![JobStatus::Queued], ..ListBots::default() };
    let jobs: Vec<Job> = server.client().bots(list).try_collect().await.unwrap();
    assert_eq!(last_digits(&jobs), "321");
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        ["", "&cursor=a", "&cursor=b"]
            .map(|cursor| format!("GET /api/v1/jobs?status=queued{cursor} HTTP/1.1"))
    );
}

#[test]
fn a_list_is_an_iterator_over_all_pages_that_ends_after_an_error() {
    let server = Server::start(pages());
    let jobs: Result<Vec<Job>, _> = server.blocking().bots(&ListBots::default()).collect();
    assert_eq!(last_digits(&jobs.unwrap()), "321");
    let mut bots = server.blocking().bots(&ListBots::default());
    assert_eq!(bots.next().unwrap().unwrap_err().status(), Some(599));
    assert!(bots.next().is_none());
}

#[test]
fn waiting_shows_each_state_once_and_ends_with_the_job() {
    let replies = ["queued", "queued", "recording", "completed"]
        .map(|status| answer(200, &[], &job(1, status)));
    let server = Server::start(replies);
    let mut seen = Vec::new();
    let job = server
        .blocking()
        .wait_for_bot_with("job_x", None, |job| seen.push(job.status.to_string()))
        .unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    assert_eq!(seen, ["queued", "recording", "completed"]);
}

#[test]
fn one_blocking_client_serves_many_threads_and_one_inside_a_runtime() {
    let server = Server::start((0..17).map(|_| answer(200, &[], &job(1, "queued"))));
    let mb = server.blocking();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| mb.get_bot("job_x").unwrap().unwrap());
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Called and dropped inside a runtime: neither panics.
    runtime.block_on(async move { mb.get_bot("job_x").unwrap().unwrap() });
}
