//! Webhooks as endpoints see them: signed, in order, each once or until it is taken.

use std::collections::HashSet;

use meetbot::{DeliveryState, ListDeliveries, NewJob, Webhooks, verify_webhook_signature};
use meetbot_testkit::scripted::Receiver;
use meetbot_types::signature::verify_standard;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Server, await_status, new_job};

fn to(status: &str, finalize: &str) -> NewJob {
    let url = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let webhooks = Webhooks { on_status_change: url(status), on_finalize: url(finalize) };
    NewJob { webhooks: Some(webhooks), ..new_job() }
}

#[tokio::test]
async fn one_endpoint_for_both_gets_each_event_once_in_order_and_signed_twice() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([]).unwrap();
    let client = server.client();
    let id = client.dispatch_bot(to(&receiver.url, &receiver.url)).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    bot.complete("file:///m").await;
    let mut seen = Vec::new();
    for sequence in 1.. {
        let webhook = receiver.next().await;
        let event = webhook.event();
        assert_eq!(
            (event.data.sequence, event.data.job_id.to_string(), event.attempt, event.version),
            (sequence, id.clone(), 1, 2)
        );
        let signed = verify_webhook_signature(
            webhook.body(),
            Some(webhook.header("x-meetbot-signature")),
            &server.webhook_secret,
        );
        assert_eq!(signed, Ok(true));
        let signed = verify_standard(
            webhook.header("webhook-id"),
            webhook.header("webhook-timestamp"),
            webhook.body(),
            webhook.header("webhook-signature"),
            &server.webhook_secret,
        );
        assert_eq!(signed, Ok(true));
        assert_eq!(webhook.header("webhook-id"), event.delivery_id.to_string());
        assert_eq!(webhook.header("x-meetbot-webhook-version"), "2");
        seen.push(format!("{} {}", event.event, event.data.status));
        if event.event == "job.finalized" {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "job.status_changed joining",
            "job.status_changed in_call",
            "job.status_changed recording",
            "job.status_changed finalizing",
            "job.status_changed completed",
            "job.finalized completed",
        ]
    );
    server.stop().await;
    assert!(receiver.so_far().is_empty(), "nothing came twice");
}

#[tokio::test]
async fn two_endpoints_get_what_they_asked_for() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (mut status, mut finalize) = (Receiver::start([]).unwrap(), Receiver::start([]).unwrap());
    let client = server.client();
    let id = client.dispatch_bot(to(&status.url, &finalize.url)).await.unwrap().id;
    let mut bot = server.bot().await;
    let ending = meetbot_types::Cause::Removed.ending(false, false);
    bot.end(ending, None).await;
    let failed = finalize.next().await.event();
    assert_eq!(failed.event, "job.failed");
    let mut sequences: HashSet<u64> = HashSet::from([failed.data.sequence]);
    loop {
        let event = status.next().await.event();
        sequences.insert(event.data.sequence);
        if event.event == "job.failed" {
            break;
        }
    }
    assert_eq!(sequences.len() as u64, sequences.into_iter().max().unwrap(), "no hole over both");
    await_status(&client, &id, meetbot::JobStatus::Failed).await;
    server.stop().await;
    assert!(status.so_far().is_empty() && finalize.so_far().is_empty());
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id_and_keeps_its_place() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([503]).unwrap();
    let client = server.client();
    let id = client.dispatch_bot(to(&receiver.url, "")).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let refused = receiver.next().await.event();
    let again = receiver.next().await.event();
    assert_eq!((again.delivery_id, again.attempt), (refused.delivery_id, 2));
    let next = receiver.next().await.event();
    assert_eq!(
        (next.data.sequence, next.attempt),
        (again.data.sequence + 1, 1),
        "later events wait for it"
    );
    let list = ListDeliveries { job_id: Some(id), ..ListDeliveries::default() };
    let deliveries = client.deliveries(&list).await.unwrap().data;
    let first =
        deliveries.iter().find(|delivery| delivery.id == refused.delivery_id.to_string()).unwrap();
    assert_eq!(
        (first.state.clone(), first.tries.len(), first.tries[0].status),
        (DeliveryState::Delivered, 2, Some(503))
    );
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_left_alone_until_someone_sends_again() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([410]).unwrap();
    let client = server.client();
    client.dispatch_bot(to(&receiver.url, "")).await.unwrap();
    let _bot = server.bot().await;
    let gone = receiver.next().await.event();
    let dead = ListDeliveries { state: Some(DeliveryState::Dead), ..ListDeliveries::default() };
    let delivery = loop {
        let deliveries = client.deliveries(&dead).await.unwrap().data;
        if let Some(delivery) = deliveries.into_iter().next() {
            break delivery;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&delivery.id, delivery.next_try_at), (&gone.delivery_id.to_string(), None));
    client.redeliver(&delivery.id).await.unwrap();
    let again = receiver.next().await.event();
    assert_eq!((again.delivery_id, again.attempt), (gone.delivery_id, 2));
    server.stop().await;
}

#[tokio::test]
async fn what_was_not_delivered_before_a_restart_is_delivered_after_it() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([500]).unwrap();
    server.client().dispatch_bot(to(&receiver.url, "")).await.unwrap();
    let bot = server.bot().await;
    let refused = receiver.next().await.event();
    server.stop().await;
    drop(bot);
    let server = Server::start(&data).await;
    let again = receiver.next().await.event();
    assert_eq!(again.delivery_id, refused.delivery_id);
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_that_is_sent_again_twice_under_one_idempotency_key_is_sent_once() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([200]).unwrap();
    server.client().dispatch_bot(to(&receiver.url, "")).await.unwrap();
    let _bot = server.bot().await;
    let id = receiver.next().await.event().delivery_id;
    // What is sent again while it is on its way arrives once.
    let noted = async |tries| {
        loop {
            let delivery = server.client().get_delivery(&id.to_string()).await.unwrap().unwrap();
            if delivery.tries.len() == tries {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    noted(1).await;
    let path = format!("/api/v1/webhooks/deliveries/{id}/redeliver");
    let ask = async |key: &'static str, body: &'static str| {
        let request = server.request(Method::POST, &path).header("idempotency-key", key).body(body);
        let response = request.send().await.unwrap();
        let replayed = response.headers().get("idempotent-replayed").is_some();
        (response.status().as_u16(), replayed, response.json::<Value>().await.unwrap())
    };
    let calls = futures_util::future::join_all((0..8).map(|_| ask("k-1", "{}"))).await;
    assert!(calls.iter().all(|(status, _, body)| *status == 200 && *body == calls[0].2));
    assert_eq!(calls.iter().filter(|(_, replayed, _)| !replayed).count(), 1, "{calls:?}");
    assert_eq!(receiver.next().await.event().delivery_id, id);
    noted(2).await;
    assert_eq!(ask("k-1", r#"{"other":1}"#).await.0, 422);
    // Under another key it is sent once more: had the calls before sent it more than once, this would not be the third.
    assert_eq!(ask("k-2", "").await.0, 200);
    let third = receiver.next().await.event();
    assert_eq!((third.delivery_id, third.attempt), (id, 3));
    server.stop().await;
}
