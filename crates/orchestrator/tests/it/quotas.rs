//! Quotas of a consumer: concurrent bots, minutes of a month, queued jobs.

use meetbot::{ErrorKind, JobStatus, ListBots, NewJob, Timestamp, Usage};
use meetbot_orchestrator::store::Scope;
use meetbot_types::{ErrorCode, FailureCode, bot::BotReport};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    answers::is_error,
    limits::{limited, refused},
    server::{Server, answered, await_status, new_job},
};

/// A job for a meeting whose minutes are counted, unlike those of the sandbox.
fn real_job() -> NewJob {
    NewJob { meeting_url: "janus+wss://janus.example/?room=1".to_owned(), ..NewJob::default() }
}

#[tokio::test]
async fn a_job_without_a_slot_waits_and_starts_when_a_meeting_ends() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("bots_per_consumer", "1")]).await;
    let client = server.client();
    let first = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let waits = client.dispatch_bot(new_job()).await.unwrap();
    let shown = client.get_bot(&waits.id).await.unwrap().unwrap();
    assert_eq!(
        (shown.status, shown.status_detail.as_deref()),
        (JobStatus::Queued, Some("at_bot_limit"))
    );
    assert_eq!(shown.updated_at, waits.updated_at, "nothing has happened to it");
    let listed = client.list_bots(&ListBots::default()).await.unwrap().data;
    let details: Vec<_> = listed.iter().map(|job| job.status_detail.as_deref()).collect();
    assert_eq!(details, [Some("at_bot_limit"), None]);
    // A scheduled job waits for its time, not for a slot.
    let join_at = Some("2027-06-01T10:00:00Z".parse::<Timestamp>().unwrap());
    let later = client.dispatch_bot(NewJob { join_at, ..new_job() }).await.unwrap();
    let later = client.get_bot(&later.id).await.unwrap().unwrap();
    assert_eq!(later.status_detail.as_deref(), Some("scheduled"));
    // Another consumer is not affected.
    let other = server.key("other", false, Scope::Write).await;
    let theirs = server.client_of(&other).dispatch_bot(new_job()).await.unwrap();
    let elsewhere = server.bot().await;
    assert_eq!(elsewhere.order.job_id.to_string(), theirs.id);

    let usage = client.usage().await.unwrap();
    assert_eq!((usage.bots, usage.max_bots), (1, Some(1)));
    assert_eq!((usage.minutes, usage.max_minutes), (1, None));
    bot.complete("file:///m.json").await;
    await_status(&client, &first, JobStatus::Completed).await;
    let next = server.bot().await;
    assert_eq!(next.order.job_id.to_string(), waits.id);
    let shown = client.get_bot(&waits.id).await.unwrap().unwrap();
    assert_eq!(shown.status_detail.as_deref(), Some("launching"));
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_gets_no_slot_in_time_fails_and_is_counted() {
    let data = TempDir::new().unwrap();
    let one = |name: &str| {
        ["MEETBOT_LIMITS_BOTS_PER_CONSUMER", "MEETBOT_BOTS_START_WITHIN_SECONDS"]
            .contains(&name)
            .then(|| "1".to_owned())
    };
    let server = Server::start_with(&data, one).await;
    let client = server.client();
    client.dispatch_bot(new_job()).await.unwrap();
    let mut bot = server.bot().await;
    bot.record().await;
    let waits = client.dispatch_bot(new_job()).await.unwrap().id;
    let failed = await_status(&client, &waits, JobStatus::Failed).await;
    assert_eq!(failed.failure_code, Some(FailureCode::DispatchTimeout));
    assert!(failed.failure_detail.unwrap().contains("as many bots in meetings as it may have"));
    refused(&server, "bots_per_consumer", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn without_minutes_new_jobs_are_refused_until_the_next_month() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("minutes_per_month", "1")]).await;
    let live = server.key("acme", true, Scope::Write).await;
    let client = server.client_of(&live);
    client.dispatch_bot(real_job()).await.unwrap();
    let mut bot = server.bot().await;
    let late = client.dispatch_bot(real_job()).await.unwrap().id;
    let mut second = server.bot().await;
    assert_eq!(bot.report(BotReport::Admitted).await, 200);

    // The bot in the meeting has used the only minute; running bots continue.
    let refusal = client.dispatch_bot(real_job()).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::RateLimit);
    assert_eq!(refusal.code(), Some(&ErrorCode::QuotaExceeded));
    let body = r#"{"meetingUrl":"janus+wss://janus.example/?room=1"}"#;
    let ask = || {
        let request = server.request_as(&live, Method::POST, "/api/v1/jobs");
        request.header("content-type", "application/json").header("idempotency-key", "k").body(body)
    };
    let response = ask().send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=31 * 24 * 3600).contains(&header("retry-after")));
    assert!(header("ratelimit-remaining") > 0, "the rate limit of the key is not used up");
    let refused_json: (_, Value) = (response.status(), response.json().await.unwrap());
    is_error(&refused_json, 429, "quota_exceeded");
    assert_eq!(second.report(BotReport::Admitted).await, 200);
    bot.complete("file:///m.json").await;
    second.complete("file:///m.json").await;
    await_status(&client, &late, JobStatus::Completed).await;
    let usage: Usage = client.usage().await.unwrap();
    assert_eq!((usage.minutes, usage.max_minutes, usage.bots), (2, Some(1), 0));
    // Repeated with the same idempotency key: a refusal is not stored.
    is_error(&answered(ask()).await, 429, "quota_exceeded");
    refused(&server, "minutes_per_month", 3).await;
    // Minutes of test keys are not counted.
    assert_eq!(server.client().usage().await.unwrap().max_minutes, None);
    server.client().dispatch_bot(real_job()).await.unwrap();
    // Nor are those of sandbox meetings.
    client.dispatch_bot(new_job()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_jobs_until_one_leaves_it() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("queued_jobs", "2")]).await;
    let client = server.client();
    let join_at = Some("2027-06-01T10:00:00Z".parse::<Timestamp>().unwrap());
    let later = || NewJob { join_at, ..new_job() };
    let named = NewJob { external_id: Some("known".into()), ..later() };
    let first = client.dispatch_bot(named.clone()).await.unwrap().id;
    client.dispatch_bot(later()).await.unwrap();
    let ask = || {
        let request = server.request(Method::POST, "/api/v1/jobs").header("idempotency-key", "k");
        let body = r#"{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers"}"#;
        request.header("content-type", "application/json").body(body)
    };
    let response = ask().send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "120");
    let refusal: (_, Value) = (response.status(), response.json().await.unwrap());
    is_error(&refusal, 429, "quota_exceeded");
    assert_eq!(client.dispatch_bot(named).await.unwrap().id, first, "the job exists already");
    let usage = client.usage().await.unwrap();
    assert_eq!((usage.queued_jobs, usage.max_queued_jobs), (2, Some(2)));
    client.cancel_bot(&first).await.unwrap();
    assert_eq!(answered(ask()).await.0, 201, "a refusal is not kept");
    // A job gets its bot, and the queue has room again.
    server.bot().await;
    assert_eq!(client.usage().await.unwrap().queued_jobs, 1);
    client.dispatch_bot(later()).await.unwrap();
    refused(&server, "queued_jobs", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_was_accepted_fails_when_its_time_comes_without_minutes() {
    let data = TempDir::new().unwrap();
    let limits = [("bots_per_consumer", "1"), ("minutes_per_month", "1")];
    let server = limited(&data, &limits).await;
    let client = server.client_of(&server.key("acme", true, Scope::Write).await);
    client.dispatch_bot(real_job()).await.unwrap();
    let waits = client.dispatch_bot(real_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    bot.complete("file:///m.json").await;
    let failed = await_status(&client, &waits, JobStatus::Failed).await;
    assert_eq!(failed.failure_code, Some(FailureCode::QuotaExceeded));
    assert!(server.has_launched_none().await);
    refused(&server, "minutes_per_month", 1).await;
    server.stop().await;
}
