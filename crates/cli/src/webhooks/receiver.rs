//! A webhook receiver: verifies what comes, answers 200 or 401, and hands it on.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use meetbot::{verify_webhook_signature, webhook::WebhookEvent};
use meetbot_types::signature::SIGNATURE_HEADER;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

/// The largest body that is read; the server's events are a few kilobytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How many webhooks may wait to be looked at before senders have to wait.
const BACKLOG: usize = 256;

/// A webhook that came.
#[derive(Debug)]
pub(crate) enum Received {
    /// Its signature is right.
    Verified(Box<WebhookEvent>),
    /// Its signature is right, but it is no event that this version can read.
    Unreadable(String),
    /// Its signature is not right.
    Refused,
}

/// A receiver that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    received: mpsc::Receiver<Received>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Inbox {
    secret: String,
    received: mpsc::Sender<Received>,
}

impl Receiver {
    /// Listens on `listen` for webhooks signed with `secret`, on any path.
    pub(crate) async fn start(listen: SocketAddr, secret: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (sender, received) = mpsc::channel(BACKLOG);
        let routes = Router::new()
            .route("/", post(receive))
            .route("/{*path}", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Inbox { secret, received: sender });
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the webhook receiver ended");
            }
        });
        Ok(Self { address, received, server })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/webhook", self.address)
    }

    /// The next webhook; `None` when the receiver has ended. Losing the call loses no webhook.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        self.received.recv().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let (received, answer) = judge(&body, &headers, &inbox.secret);
    match inbox.received.send(received).await {
        Ok(()) => answer,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn judge(body: &[u8], headers: &HeaderMap, secret: &str) -> (Received, StatusCode) {
    let header = headers.get(SIGNATURE_HEADER).and_then(|header| header.to_str().ok());
    if !verify_webhook_signature(body, header, secret) {
        return (Received::Refused, StatusCode::UNAUTHORIZED);
    }
    match serde_json::from_slice(body) {
        Ok(event) => (Received::Verified(Box::new(event)), StatusCode::OK),
        // Signed by the server, so newer than this program: taken, not sent again.
        Err(error) => (Received::Unreadable(error.to_string()), StatusCode::OK),
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::signature::sign;

    use super::*;

    const SECRET: &str = "whsec_dGVzdA==";

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SIGNATURE_HEADER, signature.parse().unwrap());
        headers
    }

    #[test]
    fn a_changed_byte_is_refused() {
        let signed = headers(&sign(b"{}", SECRET));
        assert_eq!(judge(b"{ }", &signed, SECRET).1, StatusCode::UNAUTHORIZED);
        assert_eq!(judge(b"{}", &HeaderMap::new(), SECRET).1, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn what_is_signed_but_not_understood_is_taken() {
        let (received, answer) = judge(b"{}", &headers(&sign(b"{}", SECRET)), SECRET);
        assert!(matches!(received, Received::Unreadable(_)));
        assert_eq!(answer, StatusCode::OK);
    }
}
