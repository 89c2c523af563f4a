//! A webhook receiver: verifies each webhook, answers it or forwards it to another program that does, and passes it on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use meetbot::webhook::WebhookEvent;
use meetbot_orchestrator::tls;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::signatures::{Signatures, judge};
use crate::clock;

/// The largest body that is read; the server's events are a few kilobytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How many received webhooks may be queued before senders have to wait.
const BACKLOG: usize = 256;
/// The timeout of the program to which webhooks are forwarded: as long as the server waits.
const FORWARD_LIMIT: Duration = Duration::from_secs(10);

/// The timeout for pending answers at the end.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// A received webhook.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
    /// The result of verifying its signatures.
    pub(crate) signatures: Signatures,
    /// Its event; `None` when it is not signed with any of the secrets.
    pub(crate) event: Option<Result<Box<WebhookEvent>, serde_json::Error>>,
    /// The status that it was answered with.
    pub(crate) answered: StatusCode,
    /// Why it could not be forwarded.
    pub(crate) unreachable: Option<String>,
}

/// A receiver that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    received: mpsc::Receiver<Received>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Inbox {
    secrets: Arc<[String]>,
    forward: Option<Forward>,
    received: mpsc::Sender<Received>,
}

/// The program to which verified webhooks are forwarded.
#[derive(Clone)]
struct Forward {
    client: reqwest::Client,
    url: String,
}

impl Receiver {
    /// Listens on `listen` for webhooks signed with one of `secrets`, on any path. Verified webhooks are forwarded to `forward_to`, and
    /// its answer is returned.
    pub(crate) async fn start(
        listen: SocketAddr,
        secrets: Vec<String>,
        forward_to: Option<String>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (sender, received) = mpsc::channel(BACKLOG);
        let forward = forward_to.map(Forward::to).transpose()?;
        let routes = Router::new()
            .route("/", post(receive))
            .route("/{*path}", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Inbox { secrets: secrets.into(), forward, received: sender });
        let stop = CancellationToken::new();
        let serving =
            axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the webhook receiver ended");
            }
        });
        Ok(Self { address, received, stop, server })
    }

    /// The URL at which it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/webhook", self.address)
    }

    /// The next webhook; `None` when the receiver has ended. It can be cancelled without losing a webhook.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        self.received.recv().await
    }

    /// Accepts no more webhooks, and waits until the pending answers are sent.
    pub(crate) async fn finish(mut self) {
        self.received.close();
        self.stop.cancel();
        // A sender that reads its answer slowly is not waited for.
        let _ = tokio::time::timeout(FINISH_LIMIT, &mut self.server).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(inbox): State<Inbox>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let signatures = judge(&body, &headers, &inbox.secrets, clock::now());
    let mut received = Received {
        event: signatures.are_good().then(|| serde_json::from_slice(&body)),
        // A signed body that cannot be decoded is of a newer version: it is accepted, so that it is not sent again.
        answered: if signatures.are_good() { StatusCode::OK } else { StatusCode::UNAUTHORIZED },
        headers,
        body,
        signatures,
        unreachable: None,
    };
    let mut answer = String::new();
    if let Some(forward) = inbox.forward.filter(|_| received.signatures.are_good()) {
        match forward.send(&received).await {
            Ok(answered) => (received.answered, answer) = answered,
            Err(error) => {
                received.answered = StatusCode::BAD_GATEWAY;
                received.unreachable = Some(format!("{error:#}"));
            }
        }
    }
    let answered = received.answered;
    match inbox.received.send(received).await {
        Ok(()) => (answered, answer),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

impl Forward {
    fn to(url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config())
            .timeout(FORWARD_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        Ok(Self { client: client.build()?, url })
    }

    async fn send(&self, received: &Received) -> anyhow::Result<(StatusCode, String)> {
        let mut headers = received.headers.clone();
        // These are of the connection, not of the webhook.
        for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
            headers.remove(name);
        }
        let sent = self.client.post(&self.url).headers(headers).body(received.body.clone());
        let answer = sent.send().await?;
        Ok((answer.status(), answer.text().await?))
    }
}
