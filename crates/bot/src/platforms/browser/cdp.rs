//! The Chrome `DevTools` Protocol over a pipe: JSON messages, each followed by a zero byte.
//!
//! The bot needs about ten of its methods, so they are written here: a client crate would bring types for a thousand, minutes of each build, and a WebSocket,
//! whose port other programs of the machine could reach. `Runtime.enable` is not called: pages can see it.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
};
use tokio_util::task::AbortOnDropHandle;

/// How long an answer may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
/// The longest message that is read, in bytes.
const LONGEST: usize = 32 << 20;
/// The capacity of the queue of events; the pipe is not read while it is full.
const MOST_EVENTS: usize = 1_000;

/// The error of a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the browser is gone")]
    Gone,
    #[error("the browser did not answer {0} within {seconds} s", seconds = DEADLINE.as_secs())]
    Late(&'static str),
    #[error("the browser refuses {0}: {1}")]
    Refused(&'static str, String),
    #[error("a script failed in the page: {0}")]
    Script(String),
    #[error("the browser's answer to {0} is not what it should be")]
    Answer(&'static str),
}

/// An event of the browser.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) params: Value,
    #[serde(default, rename = "sessionId")]
    pub(crate) session: Option<String>,
}

#[derive(Deserialize)]
struct Incoming {
    id: Option<u64>,
    result: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

type Waiting = HashMap<u64, oneshot::Sender<Result<Value, String>>>;

/// A connection to a browser; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Cdp {
    next: Arc<AtomicU64>,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    /// `None` once the browser has ended.
    waiting: Arc<Mutex<Option<Waiting>>>,
    _tasks: Arc<[AbortOnDropHandle<()>; 2]>,
}

impl Cdp {
    /// A connection over these ends of pipes. The events end when the browser does.
    pub(crate) fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (outgoing, mut messages) = mpsc::unbounded_channel::<Vec<u8>>();
        let (sender, events) = mpsc::channel(MOST_EVENTS);
        let waiting = Arc::new(Mutex::new(Some(Waiting::new())));
        let sending = async move {
            while let Some(message) = messages.recv().await {
                if writer.write_all(&message).await.is_err() {
                    break;
                }
            }
        };
        let answers = Arc::clone(&waiting);
        let hearing = async move {
            if let Err(error) = read(reader, &answers, &sender).await {
                tracing::debug!(%error, "the pipe to a browser has ended");
            }
            answers.lock().unwrap_or_else(PoisonError::into_inner).take();
        };
        let tasks = [tokio::spawn(sending), tokio::spawn(hearing)].map(AbortOnDropHandle::new);
        (Self { next: Arc::default(), outgoing, waiting, _tasks: Arc::new(tasks) }, events)
    }

    /// Calls a method, in a page's session if one is given.
    pub(crate) async fn call(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let (answer, answered) = oneshot::channel();
        match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(waiting) => waiting.insert(id, answer),
            None => return Err(Error::Gone),
        };
        self.outgoing.send(bytes).map_err(|_| Error::Gone)?;
        let answered = tokio::time::timeout(DEADLINE, answered).await;
        if answered.is_err()
            && let Some(waiting) =
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            waiting.remove(&id);
        }
        match answered {
            Err(_) => Err(Error::Late(method)),
            Ok(Err(_)) => Err(Error::Gone),
            Ok(Ok(Err(message))) => Err(Error::Refused(method, message)),
            Ok(Ok(Ok(result))) => Ok(result),
        }
    }
}

/// Reads messages until the pipe ends.
async fn read(
    mut reader: impl AsyncRead + Unpin,
    answers: &Mutex<Option<Waiting>>,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let mut held = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            held.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            on_message(&held, answers, events).await;
            held.clear();
        }
        held.extend_from_slice(rest);
        if held.len() > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
    }
}

/// Handles a message. One that cannot be read is ignored: it is an event of a later version.
async fn on_message(
    message: &[u8],
    answers: &Mutex<Option<Waiting>>,
    events: &mpsc::Sender<Event>,
) {
    let Ok(incoming) = serde_json::from_slice::<Incoming>(message) else { return };
    let Some(id) = incoming.id else {
        if let Ok(event) = serde_json::from_slice(message) {
            // The receiver is gone once the bot has left.
            let _ = events.send(event).await;
        }
        return;
    };
    let waiting = answers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()
        .and_then(|waiting| waiting.remove(&id));
    if let Some(waiting) = waiting {
        let answer = match incoming.error {
            Some(error) => Err(error.message),
            None => Ok(incoming.result.unwrap_or_default()),
        };
        let _ = waiting.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader, duplex, split};

    use super::*;

    #[tokio::test]
    async fn answers_find_their_calls_and_events_come_in_order() {
        let (ours, theirs) = duplex(64);
        let (reader, writer) = split(ours);
        let (cdp, mut events) = Cdp::new(reader, writer);
        let browser = tokio::spawn(async move {
            let (reader, mut writer) = split(theirs);
            let mut reader = BufReader::new(reader);
            let mut ids = Vec::new();
            for _ in 0..3 {
                let mut message = Vec::new();
                reader.read_until(0, &mut message).await.unwrap();
                message.pop();
                let message: Value = serde_json::from_slice(&message).unwrap();
                ids.push((message["id"].as_u64().unwrap(), message["sessionId"].clone()));
            }
            let long = "x".repeat(200_000);
            let answers = [
                "{\"method\":\"A.a\",\"params\":{\"n\":1}}".to_owned(),
                "no JSON".to_owned(),
                json!({"id": ids[2].0, "result": {"which": "third"}}).to_string(),
                json!({"id": ids[1].0, "error": {"code": 1, "message": "no such page"}})
                    .to_string(),
                json!({"id": 999, "result": {}}).to_string(),
                json!({"method": "B.b", "sessionId": "s", "params": {"long": long}}).to_string(),
                json!({"id": ids[0].0, "result": {"which": ids[0].1}}).to_string(),
            ];
            for message in answers {
                writer.write_all(message.as_bytes()).await.unwrap();
                writer.write_all(&[0]).await.unwrap();
            }
        });
        let (first, second, third) = tokio::join!(
            cdp.call(Some("page"), "X.x", json!({})),
            cdp.call(None, "Y.y", json!({})),
            cdp.call(None, "Z.z", json!({})),
        );
        assert_eq!(
            (first.unwrap()["which"].clone(), third.unwrap()["which"].clone()),
            ("page".into(), "third".into())
        );
        assert!(matches!(second.unwrap_err(), Error::Refused("Y.y", why) if why == "no such page"));
        assert_eq!(events.recv().await.unwrap().params["n"], 1);
        let event = events.recv().await.unwrap();
        assert_eq!((event.method.as_str(), event.session.as_deref()), ("B.b", Some("s")));
        browser.await.unwrap();
        assert!(events.recv().await.is_none(), "the browser is gone");
        assert!(matches!(cdp.call(None, "Q.q", json!({})).await, Err(Error::Gone)));
    }
}
