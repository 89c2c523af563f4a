//! What a call leaves in the log: enough to follow it, and nothing secret.

use std::{
    io,
    sync::{Arc, Mutex},
};

use meetbot::{Metadata, NewJob};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::fake_server::{FakeServer, KEY, answer, job};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

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

#[tokio::test]
async fn a_call_is_traced_with_every_try_and_without_its_secrets() {
    let log = Log::default();
    // With one subscriber alone, tracing lets the thread that meets a log line first decide for all whether anybody listens, and that
    // may be another test's. With two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let busy =
        answer(503, &[("Retry-After", "0")], r#"{"error":"unavailable","message":"in a moment"}"#);
    let server =
        FakeServer::start([busy, answer(201, &[("X-Request-Id", "req_7")], &job(1, "queued"))]);
    let metadata = Metadata::from_json(r#"{"patient":"Jane Doe"}"#).unwrap();
    let new = NewJob {
        meeting_url: "https://zoom.us/j/91234567890?pwd=s3cret".to_owned(),
        metadata: Some(metadata),
        ..NewJob::default()
    };
    server.client().dispatch_bot(new).await.unwrap();
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for word in ["meetbot.call", "POST", "/api/v1/jobs", "tried again", "in a moment", "req_7"] {
        assert!(log.contains(word), "{word} is not in the log: {log}");
    }
    for secret in [KEY, &KEY[8..], "s3cret", "Jane Doe"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}
