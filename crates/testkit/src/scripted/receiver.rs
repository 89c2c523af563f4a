//! A webhook endpoint with scripted answers, which hands over the webhooks that came.

use std::{io, time::Duration};

use meetbot_types::WebhookEvent;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{ConnectionEvent, Reply, Request, Server};
use crate::polling::poll_until;

/// How long a webhook may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Webhook(Request);

impl Webhook {
    /// The path that it was posted to, from `/` on.
    pub fn path(&self) -> &str {
        self.0.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of this header, whose name is given in lower case.
    ///
    /// # Panics
    /// Where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.0.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0.headers))
    }

    /// In the order in which they came; names are in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The same webhook with another body, as an attacker would send it.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        Self(Request { body: body.into(), ..self.0.clone() })
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.body).expect("the body of a webhook is JSON")
    }

    /// The event in the body.
    ///
    /// # Panics
    /// Where it is none.
    pub fn event(&self) -> WebhookEvent {
        serde_json::from_slice(&self.0.body).expect("the body of a webhook is an event")
    }
}

/// An endpoint on a free port of loopback, which serves until the process ends.
#[derive(Debug)]
pub struct Receiver {
    /// Where webhooks are to go; every other path is taken too.
    pub url: String,
    received: mpsc::UnboundedReceiver<Webhook>,
    server: Server,
}

impl Receiver {
    /// Answers with these statuses in turn, then with 200, each with the body `thanks`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(statuses: impl IntoIterator<Item = u16>) -> io::Result<Self> {
        let answer = |status| Reply::answer(status, &[], "thanks");
        let well = Reply { always: true, ..answer(200) };
        let (sender, received) = mpsc::unbounded_channel();
        let server = Server::observed(
            statuses.into_iter().map(answer).chain([well]).collect::<Vec<_>>(),
            move |event| {
                if let ConnectionEvent::Requested(_, request) = event {
                    // A test that needs no more webhooks has dropped the receiver.
                    let _ = sender.send(Webhook(request));
                }
            },
        )?;
        Ok(Self { url: format!("{}/hook", server.url()), received, server })
    }

    /// The URL of another path, which begins with `/`.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// The next webhook.
    ///
    /// # Panics
    /// When none comes within a minute.
    pub async fn next(&mut self) -> Webhook {
        let next = tokio::time::timeout(PATIENCE, self.received.recv()).await;
        next.ok().flatten().expect("a webhook comes")
    }

    /// The next webhook, for a test that is not asynchronous.
    ///
    /// # Panics
    /// When none comes within a minute.
    pub fn wait(&mut self) -> Webhook {
        poll_until(PATIENCE, || self.received.try_recv().map_err(|_| "no webhook"))
    }

    /// What has come and was not taken yet.
    pub fn so_far(&mut self) -> Vec<Webhook> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}
