//! Creating, finding and scheduling jobs.

use std::time::Duration;

use futures_util::{TryStreamExt as _, future::join_all};
use meetbot::{CallOptions, ErrorKind, JobStatus, ListBots, Metadata, NewJob};
use meetbot_orchestrator::store::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, new_job, now};

#[tokio::test]
async fn the_same_idempotency_key_gets_the_same_response() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let create = async |key: &str, name: &str| {
        let body = json!({"meetingUrl": crate::server::MEETING, "displayName": name});
        let request =
            server.request(Method::POST, "/api/v1/jobs").header("idempotency-key", key).json(&body);
        let response = request.send().await.unwrap();
        let replayed = response.headers().get("idempotent-replayed").is_some();
        (response.status().as_u16(), replayed, response.json::<Value>().await.unwrap())
    };
    let (status, replayed, first) = create("k-1", "A").await;
    assert_eq!((status, replayed), (201, false));
    assert_eq!(create("k-1", "A").await, (201, true, first.clone()));
    let (status, _, other) = create("k-1", "B").await;
    assert_eq!((status, &other["error"]), (422, &json!("idempotency_mismatch")));
    // A refused body is not stored under the key.
    let (status, ..) = create("k-2", "").await;
    assert_eq!(status, 400);
    // Idempotency keys of the test and live worlds are separate.
    let live = server.client_of(&server.key("acme", true, Scope::Write).await);
    let live = live.with(CallOptions::new().idempotency_key("k-1")).unwrap();
    assert_ne!(live.dispatch_bot(new_job()).await.unwrap().id, first["id"].as_str().unwrap());
    server.stop().await;
}

#[tokio::test]
async fn concurrent_requests_with_one_idempotency_key_create_one_job() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client =
        server.client().with(CallOptions::new().idempotency_key("once").max_retries(3)).unwrap();
    let jobs = join_all((0..32).map(|_| client.dispatch_bot(new_job()))).await;
    let ids: std::collections::HashSet<String> =
        jobs.into_iter().map(|job| job.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    let same = NewJob { external_id: Some("lesson-7".to_owned()), ..new_job() };
    let client = server.client();
    let jobs = join_all((0..32).map(|_| client.dispatch_bot(same.clone()))).await;
    let ids: std::collections::HashSet<String> =
        jobs.into_iter().map(|job| job.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(client.list_bots(&ListBots::default()).await.unwrap().data.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_job_is_returned_as_it_was_sent_with_the_servers_defaults() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let metadata =
        Metadata::from_json(r#"{"n":12345678901234567890123,"z":null,"e":"é"}"#).unwrap();
    let client = server.client();
    let job = client
        .dispatch_bot(NewJob { metadata: Some(metadata.clone()), ..new_job() })
        .await
        .unwrap();
    assert_eq!(job.metadata.as_json(), metadata.as_json(), "byte for byte");
    assert_eq!(
        (job.display_name.as_deref(), job.status.clone(), job.attempt),
        (Some("meetbot"), JobStatus::Queued, 0)
    );
    let defaults = serde_json::to_value(meetbot_types::AutoLeave::default()).unwrap();
    assert_eq!(serde_json::to_value(&job.auto_leave).unwrap(), defaults);
    let listed = client.list_bots(&ListBots::default()).await.unwrap().data;
    assert_eq!(listed[0].metadata.as_json(), metadata.as_json());
    assert_eq!(client.get_bot("job_01KAB1CDEFGHJKMNPQRSTVWXYZ").await.unwrap(), None);
    server.stop().await;
}

#[tokio::test]
async fn a_list_is_newest_first_filtered_and_stable_while_jobs_are_added() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let tomorrow = Some(now() + Duration::from_hours(24));
    let mut made = Vec::new();
    for index in 0..5 {
        let external_id = Some(format!("job-{index}"));
        made.push(
            client
                .dispatch_bot(NewJob { external_id, join_at: tomorrow, ..new_job() })
                .await
                .unwrap(),
        );
    }
    client.cancel_bot(&made[4].id).await.unwrap();
    let page = |limit, cursor| ListBots { limit: Some(limit), cursor, ..ListBots::default() };
    let first = client.list_bots(&page(2, None)).await.unwrap();
    client.dispatch_bot(NewJob { join_at: tomorrow, ..new_job() }).await.unwrap();
    let second = client.list_bots(&page(3, first.next_cursor.clone())).await.unwrap();
    let ids = |jobs: &[meetbot::Job]| {
        jobs.iter().map(|job| job.external_id.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first.data), ["job-4", "job-3"]);
    assert_eq!(
        (ids(&second.data), second.next_cursor),
        (vec!["job-2".into(), "job-1".into(), "job-0".into()], None)
    );
    let count = async |list: ListBots| client.list_bots(&list).await.unwrap().data.len();
    let statuses = |words: &[JobStatus]| ListBots { status: words.to_vec(), ..ListBots::default() };
    assert_eq!(count(statuses(&[JobStatus::Cancelled])).await, 1);
    assert_eq!(count(statuses(&[JobStatus::Cancelled, JobStatus::Queued])).await, 6);
    assert_eq!(
        count(ListBots { external_id: Some("job-3".into()), ..ListBots::default() }).await,
        1
    );
    assert_eq!(
        count(ListBots {
            created_after: made[3].created_at,
            created_before: made[4].created_at,
            ..ListBots::default()
        })
        .await,
        1
    );
    for list in [
        page(0, None),
        page(201, None),
        page(5, Some("nonsense".into())),
        statuses(&["resting".into()]),
    ] {
        assert_eq!(
            client.list_bots(&list).await.unwrap_err().kind(),
            ErrorKind::Validation,
            "{list:?}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_scheduled_job_starts_at_its_time() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let join_at = now() + Duration::from_millis(1_500);
    let later = client.dispatch_bot(NewJob { join_at: Some(join_at), ..new_job() }).await.unwrap();
    assert_eq!(
        (later.status, later.status_detail.as_deref()),
        (JobStatus::Queued, Some("scheduled"))
    );
    let soon = client.dispatch_bot(new_job()).await.unwrap();
    let first = server.bot().await;
    assert_eq!(first.order.job_id.to_string(), soon.id, "what is due goes first");
    assert!(server.has_launched_none().await);
    assert_eq!(server.bot().await.order.job_id.to_string(), later.id);
    assert!(now() >= join_at, "not before its time");
    server.stop().await;
}

#[tokio::test]
async fn the_number_of_concurrent_bots_is_limited() {
    let data = TempDir::new().unwrap();
    let server =
        Server::start_with(&data, |name| (name == "MEETBOT_BOTS_MAX").then(|| "2".to_owned()))
            .await;
    let client = server.client();
    for _ in 0..3 {
        client.dispatch_bot(new_job()).await.unwrap();
    }
    let (mut first, _second) = (server.bot().await, server.bot().await);
    let queued = ListBots { status: vec![JobStatus::Queued], ..ListBots::default() };
    assert_eq!(client.list_bots(&queued).await.unwrap().data.len(), 1);
    assert!(server.has_launched_none().await);
    first.record().await;
    first.complete("file:///m").await;
    drop(first);
    server.bot().await;
    server.stop().await;
}

#[tokio::test]
async fn a_jobs_events_are_streamed_and_continue_after_the_last_id() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut events = client.watch(&id).unwrap();
    let mut bot = server.bot().await;
    assert_eq!(events.try_next().await.unwrap().unwrap().data.status, Some(JobStatus::Joining));
    bot.record().await;
    assert_eq!(events.try_next().await.unwrap().unwrap().data.status, Some(JobStatus::InCall));
    bot.complete("file:///m").await;
    let rest: Vec<_> = events.try_collect().await.unwrap();
    assert_eq!(rest.last().unwrap().event, "job.finalized");
    assert_eq!(
        client.watch(&id).unwrap().try_collect::<Vec<_>>().await.unwrap().len(),
        rest.len() + 2
    );
    let after = |last: &str| {
        let path = format!("/api/v1/jobs/{id}/events");
        server
            .request(Method::GET, &path)
            .header("accept", "text/event-stream")
            .header("last-event-id", last)
            .send()
    };
    let body = after("5").await.unwrap().text().await.unwrap();
    assert!(body.contains("id: 6\n") && !body.contains("id: 5\n"), "{body}");
    assert_eq!(after("x").await.unwrap().status(), 400);
    let nobody = server.client_of(&server.key("other", false, Scope::Read).await);
    let refused = nobody.watch(&id).unwrap().try_next().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_in_the_queue_ends_at_once_and_gets_no_bot() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let join_at = Some(now() + Duration::from_millis(300));
    let id = client.dispatch_bot(NewJob { join_at, ..new_job() }).await.unwrap().id;
    client.cancel_bot(&id).await.unwrap();
    client.cancel_bot(&id).await.unwrap();
    let job = client.get_bot(&id).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.leave_reason.unwrap().as_str()),
        (JobStatus::Cancelled, "cancelled")
    );
    let other = client.dispatch_bot(NewJob { join_at, ..new_job() }).await.unwrap();
    assert_eq!(server.bot().await.order.job_id.to_string(), other.id);
    let error = client.pause_recording(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(error.code().unwrap().as_str(), "invalid_state", "{error}");
    server.stop().await;
}
