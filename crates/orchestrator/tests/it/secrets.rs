//! Webhook secrets: signatures are checked with the published verifier of Standard Webhooks, also during a rotation.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use meetbot::{NewJob, Webhooks, verify_webhook_signature};
use serde_json::json;
use tempfile::TempDir;
use xtask::standard_webhooks;

use crate::server::{Server, new_job};
use meetbot_testkit::scripted::{Receiver, Webhook};

/// A program that reads `{secret, headers, body}` and prints whether the verifier accepts it.
const JUDGE: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
given = json.load(sys.stdin)
try:
    Webhook(given['secret']).verify(given['body'], given['headers'])
    print('taken')
except WebhookVerificationError as error:
    print(error)
";

/// The result of the published verifier for a webhook.
fn judged(webhook: &Webhook, secret: &str) -> String {
    let headers: serde_json::Map<_, _> = webhook
        .headers()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let body = std::str::from_utf8(webhook.body()).unwrap();
    let given = json!({"secret": secret, "headers": headers, "body": body});
    let mut python = Command::new(standard_webhooks::python())
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs the verifier that `cargo xtask test` installs");
    python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let said = python.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn taken_by_ours(webhook: &Webhook, secret: &str) -> bool {
    let header = webhook.header("x-meetbot-signature");
    verify_webhook_signature(webhook.body(), Some(header), secret).unwrap()
}

async fn next_webhook(server: &Server, receiver: &mut Receiver) -> Webhook {
    let webhooks = Webhooks { on_status_change: Some(receiver.url.clone()), on_finalize: None };
    let new = NewJob { webhooks: Some(webhooks), ..new_job() };
    let job = server.client().dispatch_bot(new).await.unwrap();
    let _bot = server.bot().await;
    // Its bot is lost at once, which is an event too.
    loop {
        let webhook = receiver.next().await;
        if webhook.event().data.job_id.to_string() == job.id {
            server.client().cancel_bot(&job.id).await.unwrap();
            return webhook;
        }
    }
}

#[tokio::test]
async fn the_published_verifier_accepts_signatures_and_both_secrets_during_a_rotation() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let mut receiver = Receiver::start([]).unwrap();
    let old = server.webhook_secret.clone();
    let webhook = next_webhook(&server, &mut receiver).await;
    assert_eq!(judged(&webhook, &old), "taken");
    assert_eq!(judged(&webhook, "whsec_b3RoZXI="), "No matching signature found");
    let forged = webhook.with_body([webhook.body(), b" "].concat());
    assert_eq!(judged(&forged, &old), "No matching signature found");

    let new = server.rotate(Duration::from_hours(24)).await;
    let webhook = next_webhook(&server, &mut receiver).await;
    assert_eq!((judged(&webhook, &old), judged(&webhook, &new)), ("taken".into(), "taken".into()));
    assert_eq!((taken_by_ours(&webhook, &old), taken_by_ours(&webhook, &new)), (true, false));

    let last = server.rotate(Duration::ZERO).await;
    let webhook = next_webhook(&server, &mut receiver).await;
    for (secret, good) in [(&old, false), (&new, false), (&last, true)] {
        assert_eq!(judged(&webhook, secret) == "taken", good);
        assert_eq!(taken_by_ours(&webhook, secret), good);
    }
    server.stop().await;
}
