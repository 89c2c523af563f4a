//! Webhooks as endpoints receive them: signed, in order, and retried until they are accepted.

use std::collections::HashSet;

use meetbot::{DeliveryState, ListDeliveries, NewJob, Webhooks, verify_webhook_signature};
use meetbot_testkit::scripted::Receiver;
use meetbot_types::signature::verify_standard;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{Server, answered, await_status, new_job},
};

fn to(status: &str, finalize: &str) -> NewJob {
    let url = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let webhooks = Webhooks { on_status_change: url(status), on_finalize: url(finalize) };
    NewJob { webhooks: Some(webhooks), ..new_job() }
}

#[tokio::test]
async fn one_endpoint_for_both_kinds_gets_each_event_once_in_order_with_two_signatures() {
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
async fn two_endpoints_get_their_kinds_of_events() {
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
async fn a_failed_delivery_is_retried_with_the_same_id_in_the_same_order() {
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
async fn an_endpoint_that_is_gone_gets_nothing_until_a_redelivery() {
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
async fn pending_deliveries_are_delivered_after_a_restart() {
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
async fn two_redeliveries_with_one_idempotency_key_send_once() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([200]).unwrap();
    server.client().dispatch_bot(to(&receiver.url, "")).await.unwrap();
    let _bot = server.bot().await;
    let id = receiver.next().await.event().delivery_id;
    // A redelivery of a running delivery arrives once.
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
    // With another key it is sent again. This is the third arrival, so the calls before have sent it only once.
    assert_eq!(ask("k-2", "").await.0, 200);
    let third = receiver.next().await.event();
    assert_eq!((third.delivery_id, third.attempt), (id, 3));
    server.stop().await;
}

#[tokio::test]
async fn all_deliveries_of_an_endpoint_since_a_time_are_redelivered() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([410, 410]).unwrap();
    let client = server.client();
    let (mut gone, mut bots) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        client.dispatch_bot(to(&receiver.url, "")).await.unwrap();
        bots.push(server.bot().await);
        gone.push(receiver.next().await.event().delivery_id);
    }
    let list = ListDeliveries { state: Some(DeliveryState::Dead), ..ListDeliveries::default() };
    let dead = async || client.deliveries(&list).await.unwrap().data;
    while dead().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    let since = dead().await.last().unwrap().created_at.unwrap().to_string();
    let ask = |endpoint: &str, key: &str| {
        let body = json!({"endpoint": endpoint, "since": since});
        let request = server.request(Method::POST, "/api/v1/webhooks/deliveries/redeliver");
        answered(request.header("idempotency-key", key).json(&body))
    };
    let with_query = format!("{}?a=1", receiver.url);
    let (status, sent) = ask(&with_query, "a").await;
    assert_eq!((status, sent), (StatusCode::OK, json!({"count": 2, "nextCursor": null})));
    let mut again = [receiver.next().await.event(), receiver.next().await.event()];
    again.sort_by_key(|event| event.delivery_id);
    gone.sort();
    assert_eq!(again.iter().map(|event| event.delivery_id).collect::<Vec<_>>(), gone);
    assert!(again.iter().all(|event| event.attempt == 2));
    assert_eq!(ask(&with_query, "a").await.1["count"], 2, "the same answer, and nothing is sent");
    let nobody = ask("http://127.0.0.1:1/other", "b").await;
    is_error(&nobody, 404, "not_found");
    server.stop().await;
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn a_test_event_is_sent_as_a_webhook_and_is_in_no_list() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([200, 503]).unwrap();
    let ask = |endpoint: &str, key: &str| {
        let request = server.request(Method::POST, "/api/v1/webhooks/test");
        let request = request.header("idempotency-key", key);
        answered(request.json(&json!({"endpoint": endpoint})))
    };
    let (status, tested) = ask(&receiver.url, "a").await;
    assert_eq!(status, 200, "{tested}");
    assert_eq!((&tested["delivered"], &tested["tried"]["status"]), (&json!(true), &json!(200)));
    let webhook = receiver.next().await;
    let event = webhook.event();
    assert_eq!(event.event, "webhook.test");
    assert_eq!(tested["deliveryId"], event.delivery_id.to_string());
    assert_eq!(webhook.header("webhook-id"), event.delivery_id.to_string());
    let raw: Value = serde_json::from_slice(webhook.body()).unwrap();
    assert_eq!(
        (&raw["data"]["test"], &raw["data"]["event"]),
        (&json!(true), &json!("webhook.test"))
    );
    let signature = Some(webhook.header("x-meetbot-signature"));
    assert_eq!(
        verify_webhook_signature(webhook.body(), signature, &server.webhook_secret),
        Ok(true)
    );
    let (_, failed) = ask(&receiver.url, "b").await;
    assert_eq!((&failed["delivered"], &failed["tried"]["status"]), (&json!(false), &json!(503)));
    receiver.next().await;
    assert_eq!(ask(&receiver.url, "a").await.1, tested, "asked again, it is not sent again");
    let (status, nobody) = ask("http://127.0.0.1:1/", "c").await;
    assert_eq!(
        (status, &nobody["delivered"], &nobody["tried"]["status"]),
        (StatusCode::OK, &json!(false), &Value::Null)
    );
    // It is not counted: no delivery, no job, no event.
    let client = server.client();
    assert!(client.deliveries(&ListDeliveries::default()).await.unwrap().data.is_empty());
    assert!(client.get_bot(raw["data"]["jobId"].as_str().unwrap()).await.unwrap().is_none());
    let (_, feed) = answered(server.request(Method::GET, "/api/v1/events")).await;
    assert_eq!(feed["data"], json!([]));
    let admin = server.key("acme", false, meetbot_orchestrator::store::Scope::Admin).await;
    let metrics = server.request_as(&admin, Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let tries = metrics
        .lines()
        .filter(|line| line.starts_with("meetbot_webhook") && line.contains("_count"));
    assert!(tries.clone().all(|line| line.ends_with(" 0")), "{:?}", tries.collect::<Vec<_>>());
    server.stop().await;
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn a_test_event_has_the_address_policy_of_webhooks() {
    let data = TempDir::new().unwrap();
    let open = |name: &str| (name == "MEETBOT_SERVER_DEVELOPMENT").then(|| "false".to_owned());
    let server = Server::start_with(&data, open).await;
    let mut receiver = Receiver::start([]).unwrap();
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    for endpoint in [
        receiver.url.as_str(),
        by_name.as_str(),
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://0x7f000001/",
        "file:///etc/passwd",
        "https://name:word@a.example/",
        "https://",
    ] {
        let request = server.request(Method::POST, "/api/v1/webhooks/test");
        let refused = answered(request.json(&json!({"endpoint": endpoint}))).await;
        is_error(&refused, 400, "invalid_input");
    }
    server.stop().await;
    assert!(receiver.so_far().is_empty());
}
