//! One try of a delivery: check the address, sign, POST, and read the stored part of the response.

use std::{sync::Arc, time::Duration};

use meetbot_types::{
    DeliveryTry, Timestamp,
    signature::{self, SIGNATURE_HEADER},
};
use reqwest::{Client, Response, header, redirect};

use crate::{
    clock::{Clock, Now},
    deliveries::{Lane, schedule::Outcome},
    egress::{self, Guard, GuardedResolver, Lookup},
    store::{DueDelivery, WebhookSecrets},
};

/// An endpoint has to answer within this time.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How much of this may go into connecting.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The most bytes of a response's body that are read and stored.
const ANSWER_BYTES: usize = 4096;
/// How long an answer that has begun may take to come that far. What it says does not change what its status means.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How many unused connections are kept for each host, and for how long.
const KEPT: usize = 8;
const KEPT_FOR: Duration = Duration::from_secs(15);
/// How much an endpoint may send unasked over HTTP/2.
const WINDOW: u32 = 65_535;

/// Makes tries.
pub(crate) struct Post {
    /// For endpoints that answer: their names are not looked up behind those of others, and their connections are kept for a while.
    proven: Client,
    /// For all other endpoints.
    unproven: Client,
    guard: Arc<Guard>,
    clock: Clock,
}

impl Post {
    /// Clients that follow no redirects and reach only what the guard allows.
    pub(crate) fn new(guard: Arc<Guard>, clock: Clock) -> Result<Self, reqwest::Error> {
        Self::with_lookup(guard, clock, &egress::system_lookup())
    }

    /// The same, with another resolver.
    pub(super) fn with_lookup(
        guard: Arc<Guard>,
        clock: Clock,
        lookup: &Lookup,
    ) -> Result<Self, reqwest::Error> {
        let resolver = || GuardedResolver::new(Arc::clone(&guard), Arc::clone(lookup));
        let client = || {
            Client::builder()
                .tls_backend_preconfigured(crate::tls::config())
                .user_agent(concat!("meetbot/", env!("CARGO_PKG_VERSION")))
                .timeout(TIME_LIMIT)
                .connect_timeout(CONNECT_LIMIT)
                .http2_initial_stream_window_size(WINDOW)
                .http2_initial_connection_window_size(WINDOW)
                .redirect(redirect::Policy::none())
                .dns_resolver(Arc::new(resolver()))
                .no_proxy()
        };
        let proven = client().pool_idle_timeout(KEPT_FOR).pool_max_idle_per_host(KEPT).build()?;
        let unproven = client().pool_max_idle_per_host(0).build()?;
        Ok(Self { proven, unproven, guard, clock })
    }

    /// Tries a delivery. Whatever the endpoint does, this ends after eleven seconds and has held some kilobytes.
    pub(super) async fn make(&self, delivery: &DueDelivery) -> (DeliveryTry, Outcome) {
        let began = self.clock.now();
        match self.send(delivery, began.wall).await {
            Ok(answer) => {
                let ended = self.clock.now();
                let status = answer.status();
                let outcome = Outcome {
                    status: Some(status.as_u16()),
                    retry_after: retry_after(&answer, ended.wall),
                };
                let error = (!status.is_success()).then(|| status.to_string());
                let shown = answer.remote_addr().is_some_and(Guard::shows_answers_of);
                // Read in any case, so that the connection can be used again.
                let body = text(answer).await.filter(|_| shown);
                (tried(began, ended, outcome.status, error, body), outcome)
            }
            Err(error) => {
                let outcome = Outcome { status: None, retry_after: None };
                (tried(began, self.clock.now(), None, Some(error), None), outcome)
            }
        }
    }

    async fn send(&self, delivery: &DueDelivery, now: Timestamp) -> Result<Response, String> {
        self.guard.check(&delivery.url).map_err(|problem| format!("the URL {problem}"))?;
        let body = serde_json::to_vec(&delivery.event).map_err(|error| error.to_string())?;
        let id = delivery.event.delivery_id.to_string();
        let client = if delivery.lane == Lane::Proven { &self.proven } else { &self.unproven };
        let request = client
            .post(&delivery.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, sign(&body, &delivery.secrets))
            .header("X-Meetbot-Webhook-Version", delivery.event.version)
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.as_seconds())
            .header("webhook-signature", sign_standard(&id, now, &body, &delivery.secrets));
        request.body(body).send().await.map_err(|error| describe(&error))
    }
}

/// `X-Meetbot-Signature` has room for one signature: receivers that know the previous secret only are served until the overlap ends.
fn sign(body: &[u8], secrets: &WebhookSecrets) -> String {
    let secret = secrets.previous.as_ref().map_or(&secrets.current, |previous| &previous.secret);
    signature::sign(body, secret.expose())
}

/// `webhook-signature` carries one of each secret.
fn sign_standard(id: &str, now: Timestamp, body: &[u8], secrets: &WebhookSecrets) -> String {
    let previous = secrets.previous.iter().map(|previous| &previous.secret);
    let signatures: Vec<String> = std::iter::once(&secrets.current)
        .chain(previous)
        .filter_map(|secret| signature::sign_standard(id, now, body, secret.expose()).ok())
        .collect();
    signatures.join(" ")
}

fn tried(
    began: Now,
    ended: Now,
    status: Option<u16>,
    error: Option<String>,
    answer: Option<String>,
) -> DeliveryTry {
    let took = ended.steady.saturating_sub(began.steady).as_millis();
    let duration_ms = u64::try_from(took).unwrap_or(u64::MAX);
    DeliveryTry { at: began.wall, duration_ms, status, error, answer }
}

/// The beginning of a response's body; none where it is empty.
async fn text(mut answer: Response) -> Option<String> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < ANSWER_BYTES
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            let room = ANSWER_BYTES - bytes.len();
            bytes.extend_from_slice(&chunk[..room.min(chunk.len())]);
        }
    };
    // After the time limit, the bytes read so far are stored.
    let _ = tokio::time::timeout(ANSWER_LIMIT, reading).await;
    truncate_body(&bytes)
}

/// The stored text of a body: without NUL, which databases do not take, and without a character cut in two.
fn truncate_body(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    let cut = text.trim_end_matches('\u{fffd}');
    // A character that was cut in two is left out.
    let text = if bytes.len() == ANSWER_BYTES { cut } else { &text };
    (!text.is_empty()).then(|| text.to_owned())
}

/// `Retry-After` of a response, in either of its forms.
fn retry_after(answer: &Response, now: Timestamp) -> Option<Duration> {
    parse_retry_after(answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    u64::try_from(Timestamp::from(date).millis_since(now)).ok().map(Duration::from_millis)
}

/// Describes an error by its innermost cause, without the URL, which may hold a secret.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let limit = if error.is_connect() { CONNECT_LIMIT } else { TIME_LIMIT };
        let what = if error.is_connect() { "connection" } else { "answer" };
        return format!("no {what} within {} s", limit.as_secs());
    }
    let mut words = String::from("no connection");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = error.to_string();
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What is read of the body of an endpoint that answers this and then says no more.
    async fn read_of(answer: String) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let endpoint = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            // Held open until the answer is read.
            std::future::pending::<()>().await;
        };
        let client = Client::builder().tls_backend_preconfigured(crate::tls::config()).no_proxy();
        let client = client.build().unwrap();
        tokio::select! {
            () = endpoint => None,
            body = async { text(client.get(url).send().await.unwrap()).await } => body,
        }
    }

    #[tokio::test]
    async fn at_most_four_kilobytes_of_a_body_are_read_for_at_most_a_second() {
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let gigabyte = read_of(head(1 << 30) + &"x".repeat(65_536)).await;
        assert_eq!(gigabyte.unwrap(), "x".repeat(ANSWER_BYTES));
        assert_eq!(read_of(head(1_000) + "drip").await.as_deref(), Some("drip"));
        assert_eq!(read_of(head(0)).await, None);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "2026-05-15T14:00:00Z".parse().unwrap();
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            parse_retry_after("Fri, 15 May 2026 14:01:30 GMT", now),
            Some(Duration::from_secs(90))
        );
        assert_eq!(parse_retry_after("Fri, 15 May 2026 13:00:00 GMT", now), None);
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn a_stored_body_is_text_without_cut_characters() {
        assert_eq!(truncate_body(b""), None);
        assert_eq!(truncate_body(b"a\0b\xff"), Some("a\u{fffd}b\u{fffd}".to_owned()));
        let mut long = vec![b'x'; ANSWER_BYTES - 1];
        long.push(0xc3);
        assert_eq!(truncate_body(&long), Some("x".repeat(ANSWER_BYTES - 1)));
    }
}
