//! `/metrics`: the counts of a job, and the required scope.

use std::sync::atomic::Ordering;

use meetbot::{NewJob, Webhooks};
use meetbot_orchestrator::store::Scope;
use meetbot_testkit::scripted::Receiver;
use meetbot_types::bot::{BotReport, MediaCounters};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::server::{PATIENCE, Server, new_job};

/// Waits until the metrics contain all these lines.
pub(crate) async fn await_lines(server: &Server, key: &str, lines: &[&str]) -> String {
    let mut text = String::new();
    let look = async {
        while !lines.iter().all(|line| text.contains(line)) {
            let request = server.request_as(key, Method::GET, "/metrics");
            text = request.send().await.unwrap().text().await.unwrap();
        }
    };
    if tokio::time::timeout(PATIENCE, look).await.is_err() {
        let missing: Vec<_> = lines.iter().filter(|line| !text.contains(**line)).collect();
        panic!("{missing:?} never came: {text}");
    }
    text
}

#[tokio::test]
async fn metrics_count_a_job_and_contain_no_names() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let admin = server.key("watcher", true, Scope::Admin).await;
    let mut receiver = Receiver::start([500]).unwrap();
    let webhooks =
        Webhooks { on_status_change: None, on_finalize: Some(format!("{}?a=1", receiver.url)) };
    let client = server.client();
    let job = NewJob {
        external_id: Some("board-meeting".to_owned()),
        webhooks: Some(webhooks),
        ..new_job()
    };
    let id = client.dispatch_bot(job).await.unwrap().id;
    let mut bot = server.bot().await;
    await_lines(&server, &admin, &["meetbot_bots_running 1\n", "{status=\"joining\"} 1\n"]).await;
    bot.record().await;
    let counters = MediaCounters {
        packets_received: 90,
        packets_written: 90,
        packets_lost: 10,
        datagrams_dropped: 4,
        bytes_written: 7_000,
    };
    assert_eq!(bot.report(BotReport::Heartbeat { media: counters }).await, StatusCode::OK);
    let verb = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { client.pause_recording(&id).await.unwrap() }
    });
    let command = bot.commands(0).await.commands.remove(0);
    let done = BotReport::CommandDone { command_id: command.id, state: "done".into() };
    assert_eq!(bot.report(done).await, StatusCode::OK);
    verb.await.unwrap();
    bot.complete("file:///m").await;
    receiver.next().await;
    drop(bot);
    let text = await_lines(
        &server,
        &admin,
        &[
            "meetbot_jobs{status=\"recording\"} 0\n",
            "meetbot_jobs_ended_total{status=\"completed\",failure_code=\"\"} 1\n",
            "meetbot_bots_running 0\n",
            "meetbot_bots_launched_total{platform=\"sandbox\"} 1\n",
            "meetbot_join_duration_seconds_count{platform=\"sandbox\"} 1\n",
            "meetbot_media_packets_received_total 90\n",
            "meetbot_media_packets_lost_total 10\n",
            "meetbot_media_datagrams_dropped_total 4\n",
            "meetbot_media_written_bytes_total 7000\n",
            "meetbot_control_duration_seconds_count{action=\"pause_recording\",state=\"done\"} 1\n",
            "meetbot_webhook_tries_total{outcome=\"again\"} 1\n",
            "meetbot_webhook_backlog 1\n",
            "meetbot_store_transaction_seconds_count{kind=\"write\",outcome=\"done\"}",
            "meetbot_http_requests_total{method=\"POST\",route=\"/api/v1/jobs\",status=\"201\"} 1\n",
            "route=\"/api/v1/jobs/{id}/pause-recording\",status=\"200\"} 1\n",
        ],
    )
    .await;
    assert!(!text.contains("meetbot_bots_lost_total"), "{text}");
    for name in [&id, "board-meeting", "acme", "watcher", "127.0.0.1", "two-speakers", "?a=1"] {
        assert!(!text.contains(name), "{name} shows: {text}");
    }
}

#[tokio::test]
async fn a_server_whose_bots_read_too_late_launches_no_more_until_they_have_caught_up() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let admin = server.key("watcher", true, Scope::Admin).await;
    await_lines(&server, &admin, &["meetbot_bots_behind 0\n"]).await;
    server.behind.store(true, Ordering::Relaxed);
    // Each wakes the task that claims jobs.
    for _ in 0..10 {
        server.client().dispatch_bot(new_job()).await.unwrap();
    }
    let lines = ["meetbot_bots_behind 1\n", "meetbot_jobs{status=\"queued\"} 10\n"];
    await_lines(&server, &admin, &lines).await;
    assert!(server.has_launched_none().await);
    server.behind.store(false, Ordering::Relaxed);
    server.bot().await;
    await_lines(&server, &admin, &["meetbot_bots_behind 0\n"]).await;
    server.stop().await;
}

#[tokio::test]
async fn metrics_require_the_scope_admin() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let metrics = server.request(Method::GET, "/metrics");
    assert_eq!(metrics.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let nobody = server.request_as("mb_test_nobody", Method::GET, "/metrics");
    assert_eq!(nobody.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let admin = server.key("watcher", true, Scope::Admin).await;
    let answer = server.request_as(&admin, Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn all_unknown_paths_share_one_label() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let admin = server.key("watcher", true, Scope::Admin).await;
    for path in ["/wp-login.php", "/api/v1/nothing"] {
        server.request(Method::GET, path).send().await.unwrap();
    }
    let line = "meetbot_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 2\n";
    let text = await_lines(&server, &admin, &[line]).await;
    assert!(!text.contains("wp-login"), "{text}");
}
