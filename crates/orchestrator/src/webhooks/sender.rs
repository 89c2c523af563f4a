//! Sends what is due in the outbox: sign, POST, note what came of it.

use std::{sync::Arc, time::Duration};

use meetbot_types::{
    DeliveryTry, Timestamp,
    signature::{self, SIGNATURE_HEADER},
};
use reqwest::{Client, header, redirect};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    guard::{Guard, GuardedResolver},
    schedule::{self, Outcome},
};
use crate::{
    clock::Clock,
    store::{DueDelivery, Store, Verdict},
};

/// An endpoint has to answer within this time.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How many deliveries are on their way at once.
const AT_ONCE: usize = 32;
/// How long to wait at most before looking into the outbox again; pokes come sooner.
const POLL: Duration = Duration::from_secs(5);
/// How much of an endpoint's answer is read into the error.
const ANSWER_BYTES: usize = 200;

/// Sends deliveries until it is stopped.
pub(crate) struct Sender {
    store: Arc<dyn Store>,
    client: Client,
    guard: Arc<Guard>,
    clock: Clock,
    poke: Arc<Notify>,
}

impl Sender {
    /// A sender. `poke` wakes it when there may be something to send.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        guard: Arc<Guard>,
        clock: Clock,
        poke: Arc<Notify>,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .tls_backend_preconfigured(crate::tls::config())
            .user_agent(concat!("meetbot/", env!("CARGO_PKG_VERSION")))
            .timeout(TIME_LIMIT)
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(GuardedResolver(Arc::clone(&guard))))
            .no_proxy()
            .build()?;
        Ok(Self { store, client, guard, clock, poke })
    }

    /// Runs until `stop`; what is on its way then is let arrive.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let sender = Arc::new(self);
        let mut flying = JoinSet::new();
        loop {
            let room = AT_ONCE - flying.len();
            let now = sender.clock.now();
            let due = match sender.store.due_deliveries(u32::try_from(room).unwrap_or(0), now).await
            {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    Vec::new()
                }
            };
            let found = due.len();
            for delivery in due {
                let sender = Arc::clone(&sender);
                flying.spawn(async move { sender.deliver(delivery).await });
            }
            if found > 0 && found == room {
                flying.join_next().await;
                continue;
            }
            let sleep = sender.until_next(now.wall).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sender.poke.notified() => {}
                // The next delivery of a job may have waited for this one.
                Some(_) = flying.join_next(), if !flying.is_empty() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while flying.join_next().await.is_some() {}
    }

    async fn until_next(&self, now: Timestamp) -> Duration {
        let next = self.store.next_delivery().await.ok().flatten();
        let ahead = next.map(|next| next.millis_since(now)).and_then(|ms| u64::try_from(ms).ok());
        // One that is due but waits its turn is no reason to spin.
        ahead.filter(|ms| *ms > 0).map_or(POLL, |ms| Duration::from_millis(ms).min(POLL))
    }

    async fn deliver(&self, delivery: DueDelivery) {
        let id = delivery.event.delivery_id;
        let started = self.clock.now();
        let (outcome, error) = self.post(&delivery, started.wall).await;
        let ended = self.clock.now();
        let verdict = schedule::next(delivery.event.attempt, outcome, random(), ended.wall);
        let job = delivery.event.data.job_id;
        match &verdict {
            Verdict::Delivered => tracing::debug!(delivery = %id, %job, "a webhook was delivered"),
            Verdict::Again(at) => {
                tracing::info!(delivery = %id, %job, error, again = %at, "a webhook was not taken");
            }
            Verdict::Dead => tracing::warn!(delivery = %id, %job, error, "a webhook was given up"),
        }
        let tried = DeliveryTry {
            at: started.wall,
            duration_ms: u64::try_from(ended.steady.saturating_sub(started.steady).as_millis())
                .unwrap_or(u64::MAX),
            status: outcome.status,
            error,
        };
        if let Err(error) = self.store.tried(id, tried, verdict).await {
            // It stays pending: the endpoint will see the same deliveryId once more.
            tracing::warn!(%error, delivery = %id, "a delivery's try was not noted");
        }
    }

    async fn post(&self, delivery: &DueDelivery, now: Timestamp) -> (Outcome, Option<String>) {
        let none = Outcome { status: None, retry_after: None };
        if let Err(problem) = self.guard.check(&delivery.url) {
            return (none, Some(format!("the URL {problem}")));
        }
        let body = match serde_json::to_vec(&delivery.event) {
            Ok(body) => body,
            Err(error) => return (none, Some(error.to_string())),
        };
        let id = delivery.event.delivery_id.to_string();
        let mut request = self
            .client
            .post(&delivery.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, signature::sign(&body, &delivery.secret))
            .header("X-Meetbot-Webhook-Version", delivery.event.version)
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.as_seconds());
        if let Some(standard) = signature::sign_standard(&id, now, &body, &delivery.secret) {
            request = request.header("webhook-signature", standard);
        }
        match request.body(body).send().await {
            Ok(answer) => read(answer, now).await,
            Err(error) => (none, Some(in_words(&error))),
        }
    }
}

async fn read(mut answer: reqwest::Response, now: Timestamp) -> (Outcome, Option<String>) {
    let status = answer.status();
    let retry_after = answer
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, now));
    let outcome = Outcome { status: Some(status.as_u16()), retry_after };
    if status.is_success() {
        return (outcome, None);
    }
    let mut text = Vec::new();
    while text.len() < ANSWER_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        text.extend_from_slice(&chunk);
    }
    text.truncate(ANSWER_BYTES);
    let text = String::from_utf8_lossy(&text);
    (outcome, Some(format!("{status}: {}", text.trim()).trim_end_matches(": ").to_owned()))
}

/// `Retry-After` in either of its forms.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    u64::try_from(Timestamp::from(date).millis_since(now)).ok().map(Duration::from_millis)
}

/// The error without the URL (it may hold a secret), down to its cause.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIME_LIMIT.as_secs());
    }
    let mut words = String::from("no connection");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = error.to_string();
        cause = error.source();
    }
    words
}

fn random() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "2026-05-15T14:00:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            retry_after("Fri, 15 May 2026 14:01:30 GMT", now),
            Some(Duration::from_secs(90))
        );
        assert_eq!(retry_after("Fri, 15 May 2026 13:00:00 GMT", now), None);
        assert_eq!(retry_after("soon", now), None);
    }
}
