//! A server that stops: running deliveries finish, and unfinished work is left to the next server.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use meetbot::{JobStatus, ListDeliveries, NewJob, Webhooks};
use meetbot_types::bot::BotReport;
use reqwest::{Method, StatusCode};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

use crate::server::{PATIENCE, Server, await_status, new_job};

#[tokio::test]
async fn a_running_delivery_finishes_and_is_stored_before_the_server_ends() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let answers = Arc::new(Semaphore::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/slow", listener.local_addr().unwrap());
    let gate = Arc::clone(&answers);
    let slow = post(async move || {
        arrived.send(()).unwrap();
        gate.acquire().await.unwrap().forget();
    });
    let routes = Router::new().route("/slow", slow);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let webhooks = Webhooks { on_status_change: None, on_finalize: Some(url) };
    let job = NewJob { webhooks: Some(webhooks), ..new_job() };
    let id = server.client().dispatch_bot(job).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    bot.complete("file:///m").await;
    drop(bot);
    tokio::time::timeout(PATIENCE, arrivals.recv()).await.expect("the webhook comes").unwrap();
    let stopped = tokio::spawn(server.stop());
    assert!(!stopped.is_finished());
    answers.add_permits(1);
    tokio::time::timeout(PATIENCE, stopped).await.expect("it stops").unwrap();

    let server = Server::start(&data).await;
    let filter = ListDeliveries { job_id: Some(id), ..ListDeliveries::default() };
    let ledger = server.client().deliveries(&filter).await.unwrap().data;
    let listed: Vec<_> =
        ledger.iter().map(|one| (one.state.to_string(), one.tries.len())).collect();
    assert_eq!(listed, [("delivered".to_owned(), 1)]);
    assert!(arrivals.try_recv().is_err(), "it came twice");
}

#[tokio::test]
async fn while_draining_reports_are_accepted_and_lost_bots_are_not_replaced() {
    let data = TempDir::new().unwrap();
    let drain = |name: &str| (name == "MEETBOT_SERVER_DRAIN_SECONDS").then(|| "600".to_owned());
    let server = Server::start_with(&data, drain).await;
    let client = server.client();
    let lost = client.dispatch_bot(new_job()).await.unwrap().id;
    let lost_bot = server.bot().await;
    let kept = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    let (ready, http) = (server.request(Method::GET, "/readyz"), server.http.clone());
    let ready = ready.build().unwrap();
    let stopped = tokio::spawn(server.stop());
    let refused = async {
        while http.execute(ready.try_clone().unwrap()).await.unwrap().status() == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("it says that it is not ready");
    drop(lost_bot);
    await_status(&client, &lost, JobStatus::Queued).await;
    bot.record().await;
    assert_eq!(
        bot.report(BotReport::Leaving { reason: None, failure: None }).await,
        StatusCode::OK
    );
    assert!(!stopped.is_finished());
    bot.complete("file:///m").await;
    await_status(&client, &kept, JobStatus::Completed).await;
    drop(bot);
    tokio::time::timeout(PATIENCE, stopped).await.expect("it ends with its last bot").unwrap();

    let server = Server::start(&data).await;
    let next = server.bot().await;
    assert_eq!((next.order.job_id.to_string(), next.order.epoch), (lost, 2));
    assert!(tokio::time::timeout(Duration::ZERO, server.bot()).await.is_err(), "one job is left");
}
