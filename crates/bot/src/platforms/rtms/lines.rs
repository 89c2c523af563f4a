//! The connections of a stream: a task each, so that one that is slow holds no other up.

use std::{collections::BTreeMap, future, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_types::AddressPolicy;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message as Packet, Utf8Bytes};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::session::Line;
use crate::platforms::dial::{DialError, Socket, Target, dial};

/// Messages that came and were not handled yet, of all connections together. A bot that is held up lets the server wait.
const WAITING: usize = 64;
/// Messages that are to be said on one connection: handshakes and answers to keep-alives.
const UNSAID: usize = 16;
/// How long the server may take for one of them, and for the last of all.
const PATIENCE: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What came of a connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// It is there.
    Connected,
    /// The server said something.
    Text(Utf8Bytes),
    /// It is down, or could not be made, for this reason.
    Down(String),
}

/// What came of which connection.
#[derive(Debug)]
pub(super) struct News {
    pub(super) line: Line,
    /// It is the line's connection; else one that was dropped.
    pub(super) current: bool,
    pub(super) heard: Heard,
}

/// The connections of a stream.
pub(super) struct Lines {
    tls: Arc<ClientConfig>,
    address_policy: AddressPolicy,
    open: BTreeMap<Line, Open>,
    /// How many were made.
    made: u64,
    news: mpsc::Receiver<(Line, u64, Heard)>,
    teller: mpsc::Sender<(Line, u64, Heard)>,
}

struct Open {
    number: u64,
    say: mpsc::Sender<String>,
    task: AbortOnDropHandle<()>,
}

impl Lines {
    /// None yet.
    pub(super) fn new(tls: Arc<ClientConfig>, address_policy: AddressPolicy) -> Self {
        let (teller, news) = mpsc::channel(WAITING);
        Self { tls, address_policy, open: BTreeMap::new(), made: 0, news, teller }
    }

    /// Connects a line in a task of its own; the connection that it had is dropped.
    pub(super) fn dial(&mut self, line: Line, url: Url) {
        self.made += 1;
        let (say, said) = mpsc::channel(UNSAID);
        let teller = Teller { line, number: self.made, to: self.teller.clone() };
        let talking = talk(url, self.address_policy.clone(), Arc::clone(&self.tls), said, teller);
        let task = AbortOnDropHandle::new(tokio::spawn(talking));
        self.open.insert(line, Open { number: self.made, say, task });
    }

    pub(super) fn hang_up(&mut self, line: Line) {
        self.open.remove(&line);
    }

    pub(super) fn hang_up_all(&mut self) {
        self.open.clear();
    }

    /// Says something on a line. On one that takes nothing it is not said: the server notices that, and cuts it.
    pub(super) fn say(&self, line: Line, text: String) {
        if let Some(open) = self.open.get(&line) {
            let _ = open.say.try_send(text);
        }
    }

    /// What comes next. Dropping the call loses nothing.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some((line, number, heard)) => {
                let current = self.open.get(&line).is_some_and(|open| open.number == number);
                News { line, current, heard }
            }
            None => future::pending().await,
        }
    }

    /// Says what is left and closes all, which may take two seconds.
    pub(super) async fn close(self) {
        drop(self.news);
        let tasks = self.open.into_values().map(|Open { say, task, .. }| {
            drop(say);
            task
        });
        let tasks: Vec<_> = tasks.collect();
        let all = futures_util::future::join_all(tasks);
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
    }
}

/// Tells what comes of one connection.
struct Teller {
    line: Line,
    number: u64,
    to: mpsc::Sender<(Line, u64, Heard)>,
}

impl Teller {
    async fn tell(&self, heard: Heard) {
        // Nobody listens any more where the meeting is left.
        let _ = self.to.send((self.line, self.number, heard)).await;
    }
}

async fn talk(
    url: Url,
    address_policy: AddressPolicy,
    tls: Arc<ClientConfig>,
    said: mpsc::Receiver<String>,
    teller: Teller,
) {
    let target =
        Target { url: &url, protocol: None, token: None, address_policy: Some(&address_policy) };
    let why = match dial(&target, &tls).await {
        Err(DialError::Temporary(why) | DialError::Permanent(why)) => why,
        Ok(dialled) => {
            teller.tell(Heard::Connected).await;
            match relay(dialled.socket, said, &teller).await {
                Some(why) => why,
                None => return,
            }
        }
    };
    teller.tell(Heard::Down(why)).await;
}

/// Relays both ways until the connection breaks; `None` where the bot closes it.
async fn relay(
    socket: Socket,
    mut said: mpsc::Receiver<String>,
    teller: &Teller,
) -> Option<String> {
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            text = said.recv() => {
                let Some(text) = text else {
                    let _ = sink.close().await;
                    return None;
                };
                match tokio::time::timeout(PATIENCE, sink.send(Packet::text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(format!("the connection broke: {error}")),
                    Err(_) => return Some("the server takes nothing of what it is sent".to_owned()),
                }
            }
            packet = stream.next() => match packet {
                Some(Ok(Packet::Text(text))) => teller.tell(Heard::Text(text)).await,
                Some(Ok(Packet::Close(_))) | None => {
                    return Some("the server closed the connection".to_owned());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(format!("the connection broke: {error}")),
            },
        }
    }
}
