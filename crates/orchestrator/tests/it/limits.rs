//! What is too much is refused and counted, and running bots are spared.

use std::time::Duration;

use meetbot_orchestrator::store::Scope;
use meetbot_types::bot::BotReport;
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    metrics::await_lines,
    server::{PATIENCE, Server, answered, new_job},
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

/// What this limit has refused.
pub(crate) async fn refused(server: &Server, limit: &str, times: u32) {
    let admin = server.key("watcher", true, Scope::Admin).await;
    refused_by(server, &admin, limit, times).await;
}

/// The same, as this key is told.
async fn refused_by(server: &Server, admin: &str, limit: &str, times: u32) {
    let line = format!("meetbot_refused_total{{limit=\"{limit}\"}} {times}\n");
    await_lines(server, admin, &[&line]).await;
}

#[tokio::test]
async fn a_key_has_so_many_requests_a_minute_and_each_answer_says_how_many_are_left() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("requests_per_minute", "3")]).await;
    let other = server.key("other", false, Scope::Write).await;
    let get = |path: &str| server.request(Method::GET, path).send();
    // An error is an answer as well.
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
    assert_eq!(answered(theirs).await.0, 200, "another key has its own");
    refused(&server, "requests_per_minute", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn strangers_who_try_keys_lock_no_key_out() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("unknown_keys_per_minute", "2")]).await;
    let ask = |key: &str| answered(server.request_as(key, Method::GET, "/api/v1/jobs"));
    assert_eq!(ask(&server.key).await.0, 200);
    let watcher = server.key("watcher", true, Scope::Admin).await;
    assert_eq!(ask(&watcher).await.0, 200);
    let guess = |letter: &str| format!("mb_live_{}", letter.repeat(48));
    // What cannot be a key costs nobody anything.
    for _ in 0..5 {
        is_error(&ask("mb_live_short").await, 401, "unauthorized");
    }
    for letter in ["a", "b"] {
        is_error(&ask(&guess(letter)).await, 401, "unauthorized");
    }
    // The public part of a good key, with another secret behind it, is a guess too.
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
async fn a_server_with_too_much_to_do_refuses_callers_and_hears_its_bots() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("requests_at_once", "1")]).await;
    let client = server.client();
    let job = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    // A verb takes the only place while the bot does not answer it.
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
async fn beyond_its_connections_a_server_serves_bots_only_and_then_nobody() {
    let data = TempDir::new().unwrap();
    let server = limited(&data, &[("connections", "8")]).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = send(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    let mut caller = send(&server, "GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = to_the_end(&mut caller).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 2"), "{answer}");
    assert!(answer.contains("\"error\":\"unavailable\""), "{answer}");
    let ask = "GET /api/v1/ingest/commands HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut bot = send(&server, ask).await;
    let answer = head(&mut bot).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "a bot is heard, and this one is none: {answer}");
    held.push(bot);
    let mut closed = 0;
    for _ in 0..4 {
        let mut stream = send(&server, ask).await;
        if head(&mut stream).await.is_empty() {
            closed += 1;
        }
        held.push(stream);
    }
    assert!(closed >= 3, "{closed} of 4 were closed");
    // They go, and everybody is served again.
    drop(held);
    let again = async {
        loop {
            let asked = server.request(Method::GET, "/api/v1/jobs").send().await;
            if asked.is_ok_and(|response| response.status() == 200) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the server serves again");
    let admin = server.key("watcher", true, Scope::Admin).await;
    let metrics = server.request_as(&admin, Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let count = metrics.lines().find_map(|line| {
        line.strip_prefix("meetbot_refused_total{limit=\"connections\"} ")?.parse::<u32>().ok()
    });
    // Whoever asked again too early was turned away as well.
    assert!(count > Some(closed), "{count:?}: {closed} were closed, and one was answered");
    server.stop().await;
}

#[tokio::test]
async fn who_is_slow_or_sends_too_much_is_cut_off() {
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
