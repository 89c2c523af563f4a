//! A webhook endpoint that answers as the test wants.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use meetbot_types::WebhookEvent;
use tokio::sync::mpsc;

use crate::server::PATIENCE;

/// A webhook as it came.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) event: WebhookEvent,
}

impl Webhook {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    received: mpsc::UnboundedReceiver<Webhook>,
}

#[derive(Clone)]
struct Endpoint {
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    received: mpsc::UnboundedSender<Webhook>,
}

impl Receiver {
    /// Answers with these in turn, then with 200.
    pub(crate) async fn start(answers: impl IntoIterator<Item = u16>) -> Self {
        let answers =
            answers.into_iter().map(|status| StatusCode::from_u16(status).unwrap()).collect();
        let (sender, received) = mpsc::unbounded_channel();
        let endpoint = Endpoint { answers: Arc::new(Mutex::new(answers)), received: sender };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let routes = Router::new().route("/hook", post(receive)).with_state(endpoint);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, received }
    }

    pub(crate) async fn next(&mut self) -> Webhook {
        let next = tokio::time::timeout(PATIENCE, self.received.recv());
        next.await.expect("a webhook comes").unwrap()
    }

    /// What has come up to now.
    pub(crate) fn so_far(&mut self) -> Vec<Webhook> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

async fn receive(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let event = serde_json::from_slice(&body).unwrap();
    endpoint.received.send(Webhook { headers, body, event }).unwrap();
    endpoint.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK)
}
