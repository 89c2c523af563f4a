//! Requests beyond the limits are refused and counted; requests of bots are exempt.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use meetbot::{ListBots, NewJob};
use meetbot_orchestrator::store::Scope;
use meetbot_types::bot::BotReport;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    answers::is_error,
    metrics::await_lines,
    server::{PATIENCE, Server, answered, new_job, now},
    socket::{head, send, to_the_end},
};

/// A server with these limits.
pub(crate) async fn limited(data: &TempDir, limits: &[(&str, &str)]) -> Server {
    let variable = |name: &str| {
        let name = name.strip_prefix("MEETBOT_LIMITS_")?;
        let limit = limits.iter().find(|(limit, _)| name == limit.to_uppercase())?;
        Some(limit.1.to_owned())
    };
    Server::start_with(data, variable).await
}

/// Waits until this limit has refused so many requests.
pub(crate) async fn refused(server: &Server, limit: &str, times: u32) {
    let admin = server.key("watcher", true, Scope::Admin).await;
    refused_by(server, &admin, limit, times).await;
}

/// The same, by the metrics that this key reads.
async fn refused_by(server: &Server, admin: &str, limit: &str, times: u32) {
    let line = format!("meetbot_refused_total{{limit=\"{limit}\"}} {times}\n");
    await_lines(server, admin, &[&line]).await;
}

#[tokio::test]
async fn a_key_has_a_rate_limit_and_responses_have_its_headers() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("requests_per_minute", "3")]).await;
    let other = server.key("other", false, Scope::Write).await;
    let get = |path: &str| server.request(Method::GET, path).send();
    // Errors have the headers, too.
    for (path, left) in [("/api/v1/jobs", "2"), ("/api/v1/jobs/x", "1"), ("/api/v1/jobs", "0")] {
        let response = get(path).await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), ("3", left));
        let reset: u32 = header("ratelimit-reset").parse().unwrap();
        assert!((1..=60).contains(&reset), "{reset}");
    }
    let response = get("/api/v1/jobs").await.unwrap();
    assert_eq!(response.headers()["ratelimit-remaining"], "0");
    let wait: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    is_error(&(response.status(), response.json().await.unwrap()), 429, "rate_limited");
    let theirs = server.request_as(&other, Method::GET, "/api/v1/jobs");
    assert_eq!(answered(theirs).await.0, 200, "another key has a separate limit");
    refused(&server, "requests_per_minute", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn guessing_keys_locks_no_valid_key_out() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("unknown_keys_per_minute", "2")]).await;
    let ask = |key: &str| answered(server.request_as(key, Method::GET, "/api/v1/jobs"));
    assert_eq!(ask(&server.key).await.0, 200);
    let watcher = server.key("watcher", true, Scope::Admin).await;
    assert_eq!(ask(&watcher).await.0, 200);
    let guess = |letter: &str| format!("mb_live_{}", letter.repeat(48));
    // Malformed keys are not counted.
    for _ in 0..5 {
        is_error(&ask("mb_live_short").await, 401, "unauthorized");
    }
    for letter in ["a", "b"] {
        is_error(&ask(&guess(letter)).await, 401, "unauthorized");
    }
    // The public part of a valid key with another secret is counted too.
    for key in [guess("c"), format!("{}{}", &server.key[..16], "c".repeat(40))] {
        is_error(&ask(&key).await, 429, "rate_limited");
    }
    is_error(&ask("mb_live_short").await, 401, "unauthorized");
    assert_eq!(ask(&server.key).await.0, 200, "a key that has worked");
    let late = server.key("late", false, Scope::Admin).await;
    assert_eq!(ask(&late).await.0, 200, "a key that is shown for the first time");
    let erase = server.request_as(&late, Method::DELETE, "/api/v1/consumers/me?confirm=late");
    assert_eq!(answered(erase).await.0, 200);
    is_error(&ask(&late).await, 429, "rate_limited");
    for key in [&server.key, &watcher] {
        assert_eq!(ask(key).await.0, 200, "an erased consumer takes no other's keys with it");
    }
    refused_by(&server, &watcher, "unknown_keys_per_minute", 3).await;
    server.stop().await;
}

#[tokio::test]
async fn an_overloaded_server_refuses_callers_and_accepts_reports_of_bots() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("requests_at_once", "1")]).await;
    let client = server.client();
    let job = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    // A command occupies the only request slot while the bot does not answer.
    let verb = tokio::spawn({
        let (client, job) = (client.clone(), job.clone());
        async move { client.stop_recording(&job).await }
    });
    let command = bot.commands(0).await.commands.remove(0);
    let response = server.request(Method::GET, "/api/v1/jobs").send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    is_error(&(response.status(), response.json().await.unwrap()), 503, "unavailable");
    assert_eq!(answered(server.request(Method::GET, "/healthz")).await.0, 200);
    let done = BotReport::CommandDone { command_id: command.id, state: "done".into() };
    assert_eq!(bot.report(done).await, StatusCode::OK);
    verb.await.unwrap().unwrap();
    assert!(client.get_bot(&job).await.unwrap().is_some());
    refused(&server, "requests_at_once", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn connections_without_a_valid_key_are_evicted_for_others() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("connections", "8"), ("head_seconds", "600")]).await;
    let job = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    // A stream with a valid key, and a bot that waits for commands.
    let events = events(&server, &server.key, &job);
    let mut stream = send(&server, events).await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let (job_id, token) = (bot.order.job_id, bot.order.token.expose());
    let commands = format!(
        "GET /api/v1/ingest/commands?jobId={job_id}&epoch=1&after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let jobs = format!(
        "GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        server.key
    );
    // Callers without a key: public requests, refused requests, and unfinished heads and bodies.
    let ways = [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
        ("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
        ("GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""),
        (
            "POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
            "",
        ),
    ];
    let mut strangers = Vec::new();
    for (request, answer) in ways {
        for _ in 0..10 {
            let mut stranger = send(&server, request).await;
            if !answer.is_empty() {
                let given = head(&mut stranger).await;
                assert!(given.starts_with(answer), "{given}");
            }
            strangers.push(stranger);
        }
        for ask in [&jobs, &commands] {
            let given = head(&mut send(&server, ask).await).await;
            assert!(given.starts_with("HTTP/1.1 200"), "{request:?}: {given}");
        }
    }
    // The connections with a valid key are still open.
    bot.record().await;
    read_until(&mut stream, r#""status":"recording""#).await;
    let admin = server.key("watcher", true, Scope::Admin).await;
    let gave_way = refusals(&server, &admin, "connections").await;
    assert!(gave_way >= strangers.len() - 8, "{gave_way} of {}", strangers.len());
    server.stop().await;
}

/// How many requests this limit has refused; 0 if the metrics cannot be read.
async fn refusals(server: &Server, admin: &str, limit: &str) -> usize {
    let metrics = server.request_as(admin, Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let name = format!("meetbot_refused_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// The request for a job's event stream.
fn events(server: &Server, key: &str, job: &str) -> String {
    let host = server.url().replace("http://", "");
    format!(
        "GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
    )
}

/// Reads until `text` has arrived. Keep-alive comments may arrive before it.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut received = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&received).contains(text) {
            let read = stream.read_buf(&mut received).await.unwrap();
            assert_ne!(read, 0, "the connection was closed");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it arrives");
}

#[tokio::test]
async fn streams_and_downloads_of_a_key_are_limited_and_some_are_reserved_for_others() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("connections", "32"), ("streams_per_key", "9")]).await;
    let job = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let open = async |key: &str, job: &str| {
        let mut stream = send(&server, events(&server, key, job)).await;
        let answer = head(&mut stream).await;
        (stream, answer)
    };
    let mut streams = Vec::new();
    for _ in 0..9 {
        let (stream, answer) = open(&server.key, &job).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        streams.push(stream);
    }
    let response = server
        .request(Method::GET, &format!("/api/v1/jobs/{job}/events"))
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    is_error(&(response.status(), response.json().await.unwrap()), 429, "rate_limited");
    refused(&server, "streams_per_key", 1).await;
    assert_eq!(
        answered(server.request(Method::GET, "/api/v1/jobs")).await.0,
        200,
        "other calls are served"
    );
    // Of 16 streams the last four are reserved for keys with fewer than four.
    let mut others = Vec::new();
    for name in ["other", "third"] {
        let key = server.key(name, false, Scope::Write).await;
        let job = server.client_of(&key).dispatch_bot(new_job()).await.unwrap().id;
        let mut opened = 0;
        for _ in 0..5 {
            let (stream, answer) = open(&key, &job).await;
            if answer.starts_with("HTTP/1.1 200") {
                opened += 1;
                others.push(stream);
            } else {
                let refusals = ["HTTP/1.1 429", "HTTP/1.1 503"];
                assert!(refusals.iter().any(|one| answer.starts_with(one)), "{name}: {answer}");
            }
        }
        assert!((3..=4).contains(&opened), "{name} has {opened}");
    }
    // Closed streams can be opened again.
    drop(streams);
    let again = async {
        loop {
            let (_stream, answer) = open(&server.key, &job).await;
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is a stream again");
    server.stop().await;
}

#[tokio::test]
async fn connections_of_an_address_are_limited_by_a_setting() {
    let data = TempDir::new().unwrap();
    let limits = [("connections", "64"), ("connections_per_address", "2")];
    let server = limited(&data, &limits).await;
    let job = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = send(&server, events(&server, &server.key, &job)).await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        streams.push(stream);
    }
    let mut caller = send(&server, "GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = to_the_end(&mut caller).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 2"), "{answer}");
    assert!(answer.contains("\"error\":\"rate_limited\""), "{answer}");
    // Requests of bots are served; this token is not a bot's.
    let ask = "GET /api/v1/ingest/commands HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = head(&mut send(&server, ask).await).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    drop(streams);
    let admin = server.key("watcher", true, Scope::Admin).await;
    let counted = async {
        // Reading the metrics is refused, too, until the streams are closed.
        while refusals(&server, &admin, "connections_per_address").await < 1 {}
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("it is counted");
    server.stop().await;
}

#[tokio::test]
async fn pages_of_large_jobs_end_early_and_omit_none() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let metadata = json!({"x": "y".repeat(16_000)});
    let join_at = Some(now() + Duration::from_hours(1));
    let mut made = Vec::new();
    for _ in 0..150 {
        let metadata = serde_json::from_value(metadata.clone()).unwrap();
        let job = NewJob { metadata, join_at, ..new_job() };
        made.push(client.dispatch_bot(job).await.unwrap().id);
    }
    made.reverse();
    let ask = async |query: &str| {
        let path = format!("/api/v1/jobs?limit=200{query}");
        let body = server.request(Method::GET, &path).send().await.unwrap();
        let body = body.text().await.unwrap();
        assert!(body.len() < 1024 * 1024 + 32 * 1024, "{} bytes", body.len());
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let (mut listed, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = ask(&cursor).await;
        let jobs = page["data"].as_array().unwrap();
        assert!(!jobs.is_empty());
        listed.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((listed, pages), (made.clone(), 3));
    // SDKs continue with the cursor.
    let jobs = client.bots(ListBots { limit: Some(200), ..ListBots::default() });
    let listed: Vec<_> = jobs.map_ok(|job| job.id).try_collect().await.unwrap();
    assert_eq!(listed, made);
    server.stop().await;
}

#[tokio::test]
async fn unread_responses_count_as_concurrent_calls() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("connections", "64")]).await;
    let client = server.client();
    let metadata = json!({"x": "y".repeat(16_000)});
    let join_at = Some(now() + Duration::from_hours(1));
    for _ in 0..70 {
        let metadata = serde_json::from_value(metadata.clone()).unwrap();
        client.dispatch_bot(NewJob { metadata, join_at, ..new_job() }).await.unwrap();
    }
    let other = server.key("other", false, Scope::Write).await;
    let ask = format!(
        "GET /api/v1/jobs?limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        server.key
    );
    // The sockets have small buffers, so that most of each page waits in the server.
    let mut unread = Vec::new();
    for _ in 0..12 {
        let mut stream = send_over(small_socket(&server).await, &ask).await;
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        unread.push(stream);
    }
    let mut late = send_over(small_socket(&server).await, &ask).await;
    let answer = head(&mut late).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 2"), "{answer}");
    let theirs = server.request_as(&other, Method::GET, "/api/v1/jobs");
    assert_eq!(answered(theirs).await.0, 200, "another key has reserved calls");
    refused(&server, "requests_at_once", 1).await;
    // A response that is read is complete, and its share is free again.
    let mut whole = unread.pop().unwrap();
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.ends_with(b"0\r\n\r\n") {
            assert!(whole.read_buf(&mut bytes).await.unwrap() > 0);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the page ends");
    assert!(bytes.len() > 1024 * 1024 - 64 * 1024, "{} bytes", bytes.len());
    let again = async {
        while answered(server.request(Method::GET, "/api/v1/usage")).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the key is served again");
    server.stop().await;
}

/// A connection with a small receive buffer.
async fn small_socket(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(server.url().replace("http://", "").parse().unwrap()).await.unwrap()
}

async fn send_over(mut stream: TcpStream, bytes: &str) -> TcpStream {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn slow_and_oversized_requests_are_cut_off() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("head_seconds", "1"), ("body_seconds", "1")]).await;
    let began = server.clock().now().steady;
    let mut slow = send(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    to_the_end(&mut slow).await;
    assert!(server.clock().now().steady.saturating_sub(began) >= Duration::from_secs(1));
    let mut slow = send(
        &server,
        &format!(
            "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
            server.key
        ),
    )
    .await;
    let answer = to_the_end(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("did not come within 1 s"), "{answer}");
    let large = format!("GET /healthz HTTP/1.1\r\nX-Large: {}\r\n\r\n", "x".repeat(300_000));
    let answer = head(&mut send(&server, large).await).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    refused(&server, "body_seconds", 1).await;
    server.stop().await;
}
