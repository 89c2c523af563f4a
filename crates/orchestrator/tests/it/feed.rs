//! A consumer's feed: streamed, continued after a lost connection, and private to the consumer.

use std::time::Duration;

use meetbot::NewJob;
use meetbot_orchestrator::{keys::KeySpec, store::Scope};
use meetbot_types::{Cause, Failure, FailureCode};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{PATIENCE, Server, answered, new_job, now},
};

const FEED: &str = "/api/v1/events";

/// An open stream of a feed.
struct Feed {
    response: Response,
    text: String,
    /// The last id that was received.
    id: String,
}

impl Feed {
    /// Opens the stream with this key, after the cursor `after` if there is one.
    async fn open(server: &Server, key: &str, query: &str, after: Option<&str>) -> Self {
        let request = server.request_as(key, Method::GET, &format!("{FEED}{query}"));
        let request = after.into_iter().fold(request, |it, id| it.header("last-event-id", id));
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut feed = Self { response, text: String::new(), id: String::new() };
        assert_eq!(feed.message().await, None, "the first message has the cursor only");
        feed
    }

    /// The data of the next message; `None` if it has a cursor only.
    async fn message(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message: String = self.text.drain(..end + 2).collect();
                let lines: Vec<&str> = message.lines().collect();
                let field = |name: &str| {
                    let with = format!("{name}: ");
                    lines.iter().find_map(|line| line.strip_prefix(&with)).map(str::to_owned)
                };
                let Some(id) = field("id") else { continue };
                self.id = id;
                return field("data").map(|data| {
                    let data: Value = serde_json::from_str(&data).unwrap();
                    assert_eq!(
                        (&data["cursor"], &data["event"]),
                        (&json!(self.id), &json!(field("event")))
                    );
                    data
                });
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("something comes").unwrap().expect("it goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The jobs and sequences of the next events.
    async fn next<const COUNT: usize>(&mut self) -> [(String, u64); COUNT] {
        let mut seen = Vec::new();
        while seen.len() < COUNT {
            seen.push(which(&self.message().await.expect("an event")));
        }
        seen.try_into().unwrap()
    }

    /// Whether the stream ends without another event.
    async fn ends(mut self) -> bool {
        let mut rest = self.text;
        let read = async {
            while let Some(chunk) = self.response.chunk().await.unwrap() {
                rest.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("it ends");
        !rest.contains("data:")
    }
}

fn which(event: &Value) -> (String, u64) {
    (
        event["data"]["jobId"].as_str().unwrap().to_owned(),
        event["data"]["sequence"].as_u64().unwrap(),
    )
}

/// A page of the list.
async fn page(server: &Server, query: &str) -> (Vec<Value>, Option<String>) {
    let (status, body) = answered(server.request(Method::GET, &format!("{FEED}{query}"))).await;
    assert_eq!(status, 200, "{body}");
    let next = body["nextCursor"].as_str().map(str::to_owned);
    (body["data"].as_array().unwrap().clone(), next)
}

fn issue((status, body): &(StatusCode, Value)) -> String {
    assert_eq!(*status, 400, "{body}");
    format!(
        "{} {}",
        body["issues"][0]["path"][0].as_str().unwrap(),
        body["issues"][0]["code"].as_str().unwrap()
    )
}

#[tokio::test]
async fn a_feed_streams_changes_of_all_jobs_and_continues_after_a_cut() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let mut feed = Feed::open(&server, &server.key, "", None).await;
    let standing = feed.id.clone();
    let first = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    assert_eq!(feed.next().await, [(first.clone(), 0), (first.clone(), 1)]);
    let later = Some(now() + Duration::from_hours(1));
    let waits = client.dispatch_bot(NewJob { join_at: later, ..new_job() }).await.unwrap().id;
    let created = feed.message().await.unwrap();
    assert_eq!(which(&created), (waits.clone(), 0), "a waiting job is in the feed at once");
    let data_of = &created["data"];
    assert_eq!(
        (&data_of["status"], &data_of["previousStatus"], &data_of["statusDetail"]),
        (&json!("queued"), &Value::Null, &json!("scheduled"))
    );
    let seen = feed.id.clone();
    drop(feed);

    // No stream is open meanwhile.
    bot.record().await;
    client.cancel_bot(&waits).await.unwrap();
    let mut feed = Feed::open(&server, &server.key, "", Some(&seen)).await;
    assert_eq!(feed.id, seen);
    let missed = feed.next::<3>().await;
    assert_eq!(missed, [(first.clone(), 2), (first.clone(), 3), (waits.clone(), 1)]);
    bot.complete("file:///m").await;
    assert_eq!(
        feed.next::<3>().await,
        [(first.clone(), 4), (first.clone(), 5), (first.clone(), 6)],
        "live again"
    );

    // The list has the same events. The header takes precedence over the parameter, which a browser repeats when it reconnects.
    let (all, next) = page(&server, "").await;
    assert_eq!((all.len(), next), (9, None));
    let (behind, _) = page(&server, &format!("?cursor={seen}")).await;
    assert_eq!(behind, all[3..]);
    let mut by_pages = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let (data, next) = page(&server, &query).await;
        by_pages.extend(data);
        let Some(next) = next else { break };
        query = format!("?limit=3&cursor={next}");
    }
    assert_eq!(by_pages, all);
    let mut again =
        Feed::open(&server, &server.key, &format!("?cursor={standing}"), Some(&seen)).await;
    assert_eq!(again.next::<1>().await, [(first.clone(), 2)]);
    let (few, _) = page(&server, "?event=job.finalized&event=job.failed").await;
    assert_eq!(few.iter().map(which).collect::<Vec<_>>(), [(first, 6)]);
    server.stop().await;
}

#[tokio::test]
async fn a_feed_is_limited_to_the_keys_tenant_and_ends_with_the_key() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let spec = KeySpec { consumer: "acme", live: false, scope: Scope::Read, expires_at: None };
    let reader = server.fresh_key(spec).await;
    let strangers = [
        server.key("other", false, Scope::Admin).await,
        server.key("acme", true, Scope::Admin).await,
    ];
    let mut mine = Feed::open(&server, reader.secret.expose(), "", None).await;
    let standing = mine.id.clone();
    let mut theirs = Vec::new();
    for key in &strangers {
        theirs.push(Feed::open(&server, key, "", None).await);
    }
    let job = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    assert_eq!(mine.next().await, [(job.clone(), 0), (job.clone(), 1)]);
    for key in &strangers {
        let list = answered(server.request_as(key, Method::GET, FEED)).await;
        assert_eq!((list.0, &list.1["data"]), (StatusCode::OK, &json!([])));
        let with = format!("{FEED}?cursor={}", mine.id);
        assert_eq!(
            issue(&answered(server.request_as(key, Method::GET, &with)).await),
            "cursor unknown_cursor"
        );
    }
    server.store().revoke_key(reader.key.id, false, server.store().now()).await.unwrap();
    assert!(mine.ends().await, "the key is no longer valid");
    bot.record().await;
    let refused = answered(server.request_as(reader.secret.expose(), Method::GET, FEED)).await;
    is_error(&refused, 401, "unauthorized");
    assert_eq!(page(&server, &format!("?cursor={standing}")).await.0.len(), 4);
    // A server that stops ends all streams.
    drop(bot);
    server.stop().await;
    for feed in theirs {
        assert!(feed.ends().await, "it has no jobs of others");
    }
}

#[tokio::test]
async fn invalid_and_expired_cursors_are_refused_with_a_remedy() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut feed = Feed::open(&server, &server.key, "", None).await;
    let job = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    feed.next::<2>().await;
    let early = feed.id.clone();
    let failure = Failure::new(FailureCode::LobbyTimeout, "nobody came");
    let ending = Cause::Failed(failure).ending(false, false);
    assert_eq!(bot.end(ending, None).await, StatusCode::OK);
    let [(_, last)] = feed.next::<1>().await;
    assert_eq!(last, 2);
    server.store().recording_removed(bot.order.job_id, server.store().now()).await.unwrap();
    let pruned = server
        .store()
        .prune_jobs(now() + Duration::from_hours(1), 9, server.store().now())
        .await
        .unwrap();
    assert_eq!(pruned.iter().map(ToString::to_string).collect::<Vec<_>>(), [job]);
    let ask = async |query: &str, header: Option<&str>| {
        let request = server.request(Method::GET, &format!("{FEED}{query}"));
        answered(match header {
            Some(id) => request.header("accept", "text/event-stream").header("last-event-id", id),
            None => request,
        })
        .await
    };
    let expired = ask(&format!("?cursor={early}"), None).await;
    assert_eq!(issue(&expired), "cursor expired_cursor");
    assert_eq!(issue(&ask("", Some(&early)).await), "Last-Event-ID expired_cursor");
    assert_eq!(page(&server, &format!("?cursor={}", feed.id)).await.0, Vec::<Value>::new());
    let far = format!("{}9", feed.id);
    assert_eq!(
        issue(&ask("", Some(&far)).await),
        "Last-Event-ID unknown_cursor",
        "of before a restore"
    );
    for bad in [
        "x",
        "5",
        "00000000-0-1",
        "''",
        "a-b-c",
        "0".repeat(4_000).as_str(),
        "12345678-0-99999999999999999999",
    ] {
        let refused = issue(&ask(&format!("?cursor={bad}"), None).await);
        assert!(
            refused == "cursor invalid_parameter" || refused == "cursor unknown_cursor",
            "{bad}: {refused}"
        );
        let refused = issue(&ask("", Some(bad)).await);
        assert!(
            refused.ends_with("invalid_header") || refused.ends_with("unknown_cursor"),
            "{bad}: {refused}"
        );
    }
    for (query, wanted) in [
        ("?event=job.danced", "event invalid_parameter"),
        ("?limit=201", "limit invalid_parameter"),
        ("?Cursor=x", "Cursor unknown_field"),
        ("?cursor=a&cursor=b", "cursor duplicate_field"),
    ] {
        assert_eq!(issue(&ask(query, None).await), wanted);
        assert_eq!(issue(&ask(query, Some("x")).await), wanted);
    }
    server.stop().await;
}
