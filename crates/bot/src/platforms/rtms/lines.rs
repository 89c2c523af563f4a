//! The connections of a stream. The meeting's own task reads them all, so that a message wakes one task, not two.

use std::{collections::BTreeMap, convert::Infallible, future, sync::Arc, time::Duration};

use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use meetbot_types::AddressPolicy;
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{Message as Packet, Utf8Bytes};
use url::Url;

use super::session::Line;
use crate::platforms::dial::{DialError, Socket, Target, dial};

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
    pub(super) event: LineEvent,
}

/// The connections of a stream.
pub(super) struct Lines {
    tls: Arc<ClientConfig>,
    address_policy: AddressPolicy,
    open: BTreeMap<Line, Open>,
    /// The events of all connections. Only connections with something new are polled.
    reports: SelectAll<BoxStream<'static, LineReport>>,
}

struct Open {
    sender: mpsc::Sender<String>,
    /// Dropping it drops the connection.
    held: oneshot::Sender<Infallible>,
}

impl Lines {
    /// No connections.
    pub(super) fn new(tls: Arc<ClientConfig>, address_policy: AddressPolicy) -> Self {
        Self { tls, address_policy, open: BTreeMap::new(), reports: SelectAll::new() }
    }

    /// Connects a line during the next calls of [`Lines::next`]; its previous connection is dropped.
    pub(super) fn dial(&mut self, line: Line, url: Url) {
        let (sender, outgoing) = mpsc::channel(OUTGOING_QUEUE);
        let (held, dropped) = oneshot::channel();
        let (address_policy, tls) = (self.address_policy.clone(), Arc::clone(&self.tls));
        let connection = Connection::New { url, address_policy, tls, outgoing };
        let events = stream::unfold(connection, Connection::next);
        let reports = events.map(move |event| LineReport { line, event }).take_until(dropped);
        self.reports.push(reports.boxed());
        self.open.insert(line, Open { sender, held });
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
        match self.reports.next().await {
            Some(report) => report,
            None => future::pending().await,
        }
    }

    /// Sends the remaining messages and closes all connections, within [`CLOSE_TIMEOUT`].
    pub(super) async fn close(mut self) {
        let (_held, senders): (Vec<_>, Vec<_>) =
            self.open.into_values().map(|Open { sender, held }| (held, sender)).unzip();
        drop(senders);
        let all = async { while self.reports.next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, all).await;
    }
}

/// The state of one connection.
enum Connection {
    New {
        url: Url,
        address_policy: AddressPolicy,
        tls: Arc<ClientConfig>,
        outgoing: mpsc::Receiver<String>,
    },
    Up {
        socket: Socket,
        outgoing: mpsc::Receiver<String>,
    },
    Down,
}

impl Connection {
    /// Opens the connection, or relays in both directions until something is received. Returns the event and the next state; `None` once the connection is
    /// down, or closed by the bot.
    async fn next(self) -> Option<(LineEvent, Self)> {
        let down = |why: String| Some((LineEvent::Down(why), Self::Down));
        let (mut socket, mut outgoing) = match self {
            Self::New { url, address_policy, tls, outgoing } => {
                let target = Target {
                    url: &url,
                    protocol: None,
                    token: None,
                    address_policy: Some(&address_policy),
                };
                // Boxed: its state is large, and is needed only once.
                return match Box::pin(dial(&target, &tls)).await {
                    Ok(dialled) => {
                        let socket = dialled.socket;
                        Some((LineEvent::Connected, Self::Up { socket, outgoing }))
                    }
                    Err(DialError::Temporary(why) | DialError::Permanent(why)) => down(why),
                };
            }
            Self::Up { socket, outgoing } => (socket, outgoing),
            Self::Down => return None,
        };
        loop {
            tokio::select! {
                biased;
                text = outgoing.recv() => {
                    let Some(text) = text else {
                        let _ = socket.close(None).await;
                        return None;
                    };
                    let sent = tokio::time::timeout(SEND_TIMEOUT, socket.send(Packet::text(text)));
                    match sent.await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return down(format!("the connection failed: {error}")),
                        Err(_) => return down("the server does not read its messages".to_owned()),
                    }
                }
                packet = socket.next() => match packet {
                    Some(Ok(Packet::Text(text))) => {
                        return Some((LineEvent::Text(text), Self::Up { socket, outgoing }));
                    }
                    Some(Ok(Packet::Close(_))) | None => {
                        return down("the server closed the connection".to_owned());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return down(format!("the connection failed: {error}")),
                },
            }
        }
    }
}
