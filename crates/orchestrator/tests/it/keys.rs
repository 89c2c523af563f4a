//! Expired and revoked keys, and the audit log of keys.

use std::{collections::HashSet, time::Duration};

use meetbot::{JobStatus, NewJob};
use meetbot_orchestrator::{
    keys::KeySpec,
    store::{KeyStore as _, KeyUse, Scope, SqliteStore, Store, UseFilter, Window},
};
use meetbot_types::{JobId, UseId, bot::BotReport};
use reqwest::Method;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::server::{PATIENCE, Server, answered, await_status, new_job, now};

const KEY_SPEC: KeySpec<'static> =
    KeySpec { consumer: "acme", live: false, scope: Scope::Write, expires_at: None };

const fn newest(limit: u32) -> Window<UseId> {
    Window { limit, after: None }
}

/// Entries of the audit log, newest first, once there are `count`.
async fn lines(store: &dyn Store, filter: &UseFilter, count: usize) -> Vec<KeyUse> {
    let look = async {
        loop {
            let lines = store.key_uses(filter.clone(), newest(100)).await.unwrap().data;
            if lines.len() >= count {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the lines are written")
}

#[tokio::test]
async fn a_key_revoked_by_another_process_is_refused_within_a_second_and_its_bots_continue() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let fresh = server.fresh_key(KEY_SPEC).await;
    let client = server.client_of(fresh.secret.expose());
    let job = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let url = format!("{}/api/v1/jobs/{job}/events", server.url());
    let stream = server
        .http
        .get(url)
        .bearer_auth(fresh.secret.expose())
        .header("accept", "text/event-stream")
        .send();
    let mut stream = stream.await.unwrap();
    assert_eq!(stream.status(), 200);

    // A second store on the same folder plays another process.
    let elsewhere = SqliteStore::open(data.path()).unwrap();
    elsewhere.revoke_key(fresh.key.id, false, elsewhere.now()).await.unwrap();
    let revoked = server.clock().now().steady;
    let mut last_let_in = revoked;
    loop {
        let asked = server.clock().now().steady;
        match client.get_bot(&job).await {
            Ok(_) => last_let_in = asked,
            Err(error) => {
                assert_eq!(error.status(), Some(401), "{error}");
                break;
            }
        }
    }
    let took = last_let_in.saturating_sub(revoked);
    assert!(took < Duration::from_secs(1), "it opened for {took:?}");

    // Open streams end too, without later events.
    let leaving = bot.report(BotReport::Leaving { reason: None, failure: None });
    assert_eq!(leaving.await, 200, "the bot's report is accepted");
    let mut entries = String::new();
    let read = async {
        while let Some(chunk) = stream.chunk().await.unwrap() {
            entries.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the stream ends");
    assert!(entries.contains("recording") && !entries.contains("finalizing"), "{entries}");
    bot.complete("file:///m.json").await;
    await_status(&server.client(), &job, JobStatus::Completed).await;
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_valid_until_it_expires() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let end = now() + Duration::from_millis(400);
    let fresh = server.fresh_key(KeySpec { expires_at: Some(end), ..KEY_SPEC }).await;
    let client = server.client_of(fresh.secret.expose());
    loop {
        let asked = now();
        match client.get_bot("job_01KAB1CDEFGHJKMNPQRSTVWXYZ").await {
            Ok(_) => assert!(asked < end, "let in at {asked}, after {end}"),
            Err(error) => {
                assert_eq!(error.status(), Some(401), "{error}");
                assert!(now() >= end, "refused before {end}");
                assert!(error.to_string().contains("expired"), "{error}");
                break;
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn every_change_and_every_refusal_is_in_the_audit_log() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (writer, reader) = (
        server.fresh_key(KEY_SPEC).await,
        server.fresh_key(KeySpec { scope: Scope::Read, ..KEY_SPEC }).await,
    );
    let client = server.client_of(writer.secret.expose());
    let named = NewJob { external_id: Some("a".into()), ..new_job() };
    let job = client.dispatch_bot(named.clone()).await.unwrap().id;
    let job: JobId = job.parse().unwrap();
    client.dispatch_bot(named).await.unwrap();
    client.get_bot(&job.to_string()).await.unwrap();
    let pause = format!("/api/v1/jobs/{job}/pause-recording?x=secret");
    let ask = |method: Method, path: &str, key: &str, name: &str| {
        let request = server.http.request(method, format!("{}{path}", server.url()));
        answered(request.bearer_auth(key).header("x-request-id", name))
    };
    ask(Method::POST, &pause, writer.secret.expose(), "too-early").await;
    ask(Method::POST, &pause, reader.secret.expose(), "may-not").await;
    server.store().revoke_key(reader.key.id, false, server.store().now()).await.unwrap();
    let seen = lines(server.store(), &UseFilter::default(), 4).await;
    let path = format!("/api/v1/jobs/{job}");
    let shown = |line: &KeyUse| {
        let whose = if line.key == writer.key.id { "writer" } else { "reader" };
        let error = line.error.as_ref().map_or("-".to_owned(), ToString::to_string);
        let path = line.path.replace(&path, "JOB");
        format!("{whose} {} {path} {} {error} {}", line.method, line.status, line.request)
    };
    // Entries of the same millisecond have no defined order.
    let mut entries: Vec<String> = seen.iter().map(shown).collect();
    entries.sort();
    let (created, existing) = (&entries[2], &entries[1]);
    assert!(created.starts_with("writer POST /api/v1/jobs 201 - req_"), "{entries:#?}");
    assert!(existing.starts_with("writer POST /api/v1/jobs 200 - req_"), "{entries:#?}");
    assert_eq!(entries[0], "reader POST JOB/pause-recording 403 forbidden may-not");
    assert_eq!(entries[3], "writer POST JOB/pause-recording 409 invalid_state too-early");
    assert!(
        seen.iter().all(|line| line.address.is_loopback() && line.job == Some(job)),
        "{seen:?}"
    );

    // Calls with an ended key are recorded, also if they only read.
    let look = async {
        loop {
            if ask(Method::GET, &path, reader.secret.expose(), "ended").await.0 == 401 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap();
    let refused = UseFilter { key: Some(reader.key.id), refused: true, ..UseFilter::default() };
    let last = &lines(server.store(), &refused, 2).await[0];
    assert_eq!((last.method.as_str(), last.status), ("GET", 401));
    let of_job = UseFilter { job: Some(job), refused: true, ..UseFilter::default() };
    assert_eq!(lines(server.store(), &of_job, 3).await.len(), 3);

    // The last entries are written before the server ends, and so are the times of last use.
    client.cancel_bot(&job.to_string()).await.unwrap();
    server.stop().await;
    let store = SqliteStore::open(data.path()).unwrap();
    let last = &store.key_uses(UseFilter::default(), newest(1)).await.unwrap().data[0];
    assert_eq!((last.method.as_str(), last.status, last.job), ("DELETE", 204, Some(job)));
    let keys = store.keys().await.unwrap();
    let used = |id| keys.iter().find(|key| key.id == id).unwrap().last_used_at;
    assert_eq!(used(writer.key.id), Some(last.at));
    assert!(used(reader.key.id).is_some_and(|at| at <= last.at));
}

#[tokio::test]
async fn repeated_refusals_of_a_key_are_one_entry_a_minute_with_a_count() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let fresh = server.fresh_key(KEY_SPEC).await;
    server.store().revoke_key(fresh.key.id, false, server.store().now()).await.unwrap();
    for number in 0..100 {
        let (method, path) = [
            (Method::GET, format!("/api/v1/jobs/{number}")),
            (Method::POST, "/api/v1/jobs".to_owned()),
        ][number % 2]
            .clone();
        let ask = server.request_as(fresh.secret.expose(), method, &path);
        assert_eq!(answered(ask).await.0, 401);
    }
    // Repeated changes are one entry, too.
    let job = server.client().dispatch_bot(new_job()).await.unwrap().id;
    for _ in 0..10 {
        server.client().cancel_bot(&job).await.unwrap();
    }
    server.stop().await;
    let store = SqliteStore::open(data.path()).unwrap();
    let all = store.key_uses(UseFilter::default(), newest(1_000)).await.unwrap().data;
    for (status, calls) in [(401, 100), (204, 10)] {
        let lines: Vec<_> = all.iter().filter(|line| line.status == status).collect();
        assert_eq!(lines.iter().map(|line| line.times).sum::<u64>(), calls);
        let minutes: HashSet<i64> = lines.iter().map(|line| line.at.as_millis() / 60_000).collect();
        assert_eq!(lines.len(), minutes.len(), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_call_whose_caller_disconnects_is_in_the_audit_log() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let job: JobId = server.client().dispatch_bot(new_job()).await.unwrap().id.parse().unwrap();
    let mut bot = server.bot().await;
    bot.record().await;
    let address = server.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/jobs/{job}/stop-recording HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        server.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The bot has received the command, so the call is running; it does not answer, and the caller disconnects.
    assert_eq!(bot.commands(0).await.commands.len(), 1);
    stream.shutdown().await.unwrap();
    drop(stream);
    let filter = UseFilter { refused: true, ..UseFilter::default() };
    let line = &lines(server.store(), &filter, 1).await[0];
    assert_eq!((line.status, line.job, line.method.as_str()), (499, Some(job), "POST"));
    server.stop().await;
}

#[tokio::test]
async fn an_audit_log_kept_for_zero_days_is_not_written() {
    let data = TempDir::new().unwrap();
    let variable = |name: &str| (name == "MEETBOT_AUDIT_KEEP_DAYS").then(|| "0".to_owned());
    let server = Server::start_with(&data, variable).await;
    server.client().dispatch_bot(new_job()).await.unwrap();
    server.stop().await;
    // A stop writes all pending entries.
    let store = SqliteStore::open(data.path()).unwrap();
    assert_eq!(store.key_uses(UseFilter::default(), newest(1)).await.unwrap().data, []);
    assert!(store.keys().await.unwrap()[0].last_used_at.is_some());
}
