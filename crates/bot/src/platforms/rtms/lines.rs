//! The connections of a stream, each in a task, so that a slow one does not delay the others.

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

/// The capacity of the queue of received messages, over all connections. While it is full, the server waits.
const INCOMING_QUEUE: usize = 64;
/// The capacity of a connection's queue of outgoing messages: handshakes and answers to keep-alives.
const OUTGOING_QUEUE: usize = 16;
/// How long sending one of them may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long closing all connections may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An event of a connection.
#[derive(Debug)]
pub(super) enum LineEvent {
    /// The connection is open.
    Connected,
    /// The server sent a message.
    Text(Utf8Bytes),
    /// The connection is down, or could not be opened, for this reason.
    Down(String),
}

/// An event and its connection.
#[derive(Debug)]
pub(super) struct LineReport {
    pub(super) line: Line,
    /// Whether it is the line's present connection; else it is a dropped one.
    pub(super) current: bool,
    pub(super) event: LineEvent,
}

/// The connections of a stream.
pub(super) struct Lines {
    tls: Arc<ClientConfig>,
    address_policy: AddressPolicy,
    open: BTreeMap<Line, Open>,
    /// How many connections were made.
    made: u64,
    reports: mpsc::Receiver<(Line, u64, LineEvent)>,
    reporter: mpsc::Sender<(Line, u64, LineEvent)>,
}

struct Open {
    number: u64,
    sender: mpsc::Sender<String>,
    task: AbortOnDropHandle<()>,
}

impl Lines {
    /// No connections.
    pub(super) fn new(tls: Arc<ClientConfig>, address_policy: AddressPolicy) -> Self {
        let (reporter, reports) = mpsc::channel(INCOMING_QUEUE);
        Self { tls, address_policy, open: BTreeMap::new(), made: 0, reports, reporter }
    }

    /// Connects a line in a separate task; its previous connection is dropped.
    pub(super) fn dial(&mut self, line: Line, url: Url) {
        self.made += 1;
        let (sender, outgoing) = mpsc::channel(OUTGOING_QUEUE);
        let reporter = LineReporter { line, number: self.made, to: self.reporter.clone() };
        let running = run_connection(
            url,
            self.address_policy.clone(),
            Arc::clone(&self.tls),
            outgoing,
            reporter,
        );
        let task = AbortOnDropHandle::new(tokio::spawn(running));
        self.open.insert(line, Open { number: self.made, sender, task });
    }

    pub(super) fn hang_up(&mut self, line: Line) {
        self.open.remove(&line);
    }

    pub(super) fn hang_up_all(&mut self) {
        self.open.clear();
    }

    /// Queues a message on a line. If the queue is full, the message is dropped: the server detects missing answers, and closes the connection.
    pub(super) fn send(&self, line: Line, text: String) {
        if let Some(open) = self.open.get(&line) {
            let _ = open.sender.try_send(text);
        }
    }

    /// The next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> LineReport {
        match self.reports.recv().await {
            Some((line, number, event)) => {
                let current = self.open.get(&line).is_some_and(|open| open.number == number);
                LineReport { line, current, event }
            }
            None => future::pending().await,
        }
    }

    /// Sends the remaining messages and closes all connections, within [`CLOSE_TIMEOUT`].
    pub(super) async fn close(self) {
        drop(self.reports);
        let tasks = self.open.into_values().map(|Open { sender, task, .. }| {
            drop(sender);
            task
        });
        let tasks: Vec<_> = tasks.collect();
        let all = futures_util::future::join_all(tasks);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, all).await;
    }
}

/// Reports the events of one connection.
struct LineReporter {
    line: Line,
    number: u64,
    to: mpsc::Sender<(Line, u64, LineEvent)>,
}

impl LineReporter {
    async fn report(&self, event: LineEvent) {
        // The receiver is gone once the meeting is left.
        let _ = self.to.send((self.line, self.number, event)).await;
    }
}

async fn run_connection(
    url: Url,
    address_policy: AddressPolicy,
    tls: Arc<ClientConfig>,
    outgoing: mpsc::Receiver<String>,
    reporter: LineReporter,
) {
    let target =
        Target { url: &url, protocol: None, token: None, address_policy: Some(&address_policy) };
    let why = match dial(&target, &tls).await {
        Err(DialError::Temporary(why) | DialError::Permanent(why)) => why,
        Ok(dialled) => {
            reporter.report(LineEvent::Connected).await;
            match relay(dialled.socket, outgoing, &reporter).await {
                Some(why) => why,
                None => return,
            }
        }
    };
    reporter.report(LineEvent::Down(why)).await;
}

/// Relays in both directions until the connection fails; `None` if the bot closes it.
async fn relay(
    socket: Socket,
    mut outgoing: mpsc::Receiver<String>,
    reporter: &LineReporter,
) -> Option<String> {
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            text = outgoing.recv() => {
                let Some(text) = text else {
                    let _ = sink.close().await;
                    return None;
                };
                match tokio::time::timeout(SEND_TIMEOUT, sink.send(Packet::text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(format!("the connection failed: {error}")),
                    Err(_) => return Some("the server does not read its messages".to_owned()),
                }
            }
            packet = stream.next() => match packet {
                Some(Ok(Packet::Text(text))) => reporter.report(LineEvent::Text(text)).await,
                Some(Ok(Packet::Close(_))) | None => {
                    return Some("the server closed the connection".to_owned());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(format!("the connection failed: {error}")),
            },
        }
    }
}
