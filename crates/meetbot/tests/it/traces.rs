//! What a call leaves in the log: enough to follow it, and nothing secret.

use std::{
    io,
    sync::{Arc, Mutex},
};

use meetbot::{CallOptions, MeetBot, Metadata, NewJob};
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::server::{KEY, Server, answer, job};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The log of this thread, until the guards are dropped.
fn logged(level: &str) -> (Log, (DefaultGuard, Dispatch)) {
    let log = Log::default();
    // With one subscriber alone, tracing lets the thread that meets a log line first decide for all whether anybody listens, and that
    // may be another test's. With two it asks both.
    let second = Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    (log, (tracing::subscriber::set_default(subscriber), second))
}

#[test]
fn an_unencrypted_key_gives_one_warning() {
    let (log, guards) = logged("meetbot=warn");
    let made = |url: &str| MeetBot::builder().api_key(KEY).base_url(url).build().unwrap();
    for url in ["http://127.0.0.1:3010", "http://localhost:3010", "https://meetbot.example"] {
        assert!(!made(url).is_in_the_clear());
    }
    assert_eq!(log.text(), "");
    let client = made("http://meetbot.example:3010");
    client.with(CallOptions::new().max_retries(0)).unwrap();
    drop(guards);
    let log_text = log.text();
    assert!(client.is_in_the_clear() && log_text.lines().count() == 1, "{log_text}");
    assert!(
        log_text.contains("WARN") && log_text.contains("http://meetbot.example:3010"),
        "{log_text}"
    );
    assert!(!log_text.contains(KEY), "{log_text}");
}

#[tokio::test]
async fn fields_that_the_server_ignored_are_a_warning() {
    let (log, guards) = logged("meetbot=warn");
    let ignored = [("X-Meetbot-Ignored", "colour,autoLeave.afterLunch")];
    let server = Server::start([
        answer(201, &[], &job(1, "queued")),
        answer(201, &ignored, &job(1, "queued")),
    ]);
    let client = server.client();
    client.dispatch_bot(NewJob::default()).await.unwrap();
    assert_eq!(log.text(), "", "nothing was passed over");
    client.dispatch_bot(NewJob::default()).await.unwrap();
    drop(guards);
    for word in ["WARN", "colour,autoLeave.afterLunch", "/api/v1/jobs"] {
        assert!(log.text().contains(word), "{word} is not in the log: {}", log.text());
    }
}

#[tokio::test]
async fn a_call_is_traced_with_every_try_and_without_its_secrets() {
    let (log, guards) = logged("trace");
    let busy =
        answer(503, &[("Retry-After", "0")], r#"{"error":"unavailable","message":"in a moment"}"#);
    let server =
        Server::start([busy, answer(201, &[("X-Request-Id", "req_7")], &job(1, "queued"))]);
    let metadata = Metadata::from_json(r#"{"patient":"Jane Doe"}"#).unwrap();
    let new = NewJob {
        meeting_url: "https://zoom.us/j/91234567890?pwd=s3cret".to_owned(),
        metadata: Some(metadata),
        ..NewJob::default()
    };
    server.client().dispatch_bot(new).await.unwrap();
    drop(guards);
    let log = log.text();
    for word in ["meetbot.call", "POST", "/api/v1/jobs", "tried again", "in a moment", "req_7"] {
        assert!(log.contains(word), "{word} is not in the log: {log}");
    }
    for secret in [KEY, &KEY[8..], "s3cret", "Jane Doe"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}
