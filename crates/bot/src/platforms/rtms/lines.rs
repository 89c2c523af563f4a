//! The connections of a stream. The meeting's own task reads them all, so that a message wakes one task, not two; and those with sound and pictures wake
//! none.

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{
    SinkExt as _, StreamExt as _,
    future::join_all,
    stream::{self, BoxStream},
};
use meetbot_types::AddressPolicy;
use rustls::ClientConfig;
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior},
};
use tokio_tungstenite::tungstenite::{Message as Packet, Utf8Bytes};
use url::Url;

use super::session::Line;
use crate::{
    clock,
    platforms::dial::{DialError, Socket, Target, dial},
};

/// How often sound and pictures are read: two packets of each voice at once. Nobody listens live, and each message has its own timestamp, so the
/// wait costs nothing but this long until the bot knows that someone speaks.
const TICK: Duration = Duration::from_millis(40);
/// Ticks of different bots are a multiple of this apart.
const STEP: Duration = Duration::from_millis(10);
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
    ticks: Interval,
}

struct Open {
    sender: mpsc::Sender<String>,
    /// What comes on the connection. Dropping it drops the connection.
    events: BoxStream<'static, LineEvent>,
}

impl Lines {
    /// No connections.
    pub(super) fn new(tls: Arc<ClientConfig>, address_policy: AddressPolicy) -> Self {
        Self { tls, address_policy, open: BTreeMap::new(), ticks: ticks() }
    }

    /// Connects a line during the next calls of [`Lines::next`]; its previous connection is dropped.
    pub(super) fn dial(&mut self, line: Line, url: Url) {
        let (sender, outgoing) = mpsc::channel(OUTGOING_QUEUE);
        let (address_policy, tls) = (self.address_policy.clone(), Arc::clone(&self.tls));
        let connection = Connection::New { url, address_policy, tls, outgoing };
        let next = move |connection: Connection| connection.next(line.carries_media());
        let events = stream::unfold(connection, next).fuse().boxed();
        self.open.insert(line, Open { sender, events });
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
        future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Looks into all connections in their order, whatever woke the task: so the media from before a message in the chat or a departure are handled before
    /// it. When all are empty, the next tick wakes the task, or a message on a connection without media.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<LineReport> {
        for (line, open) in &mut self.open {
            if let Poll::Ready(Some(event)) = open.events.poll_next_unpin(context) {
                return Poll::Ready(LineReport { line: *line, event });
            }
        }
        if self.open.keys().any(|line| line.carries_media()) {
            while self.ticks.poll_tick(context).is_ready() {}
        }
        Poll::Pending
    }

    /// Sends the remaining messages and closes all connections, within [`CLOSE_TIMEOUT`].
    pub(super) async fn close(self) {
        let all = self.open.into_values().map(|Open { sender, events }| {
            drop(sender);
            events.for_each(|_| future::ready(()))
        });
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, join_all(all)).await;
    }
}

/// The times at which sound and pictures are read. They are in step with those of the process's other bots, so that one timer wakes many, and in four groups,
/// so that it does not wake all at once.
fn ticks() -> Interval {
    static FIRST: LazyLock<Instant> = LazyLock::new(clock::now);
    let first = *FIRST;
    let steps = clock::now().duration_since(first).as_millis().div_ceil(STEP.as_millis());
    let start = first + STEP * u32::try_from(steps).unwrap_or(0);
    let mut ticks = tokio::time::interval_at(start.into(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
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
    /// down, or closed by the bot. In ticks, a connection wakes its task only until the first message, which answers its handshake.
    async fn next(self, in_ticks: bool) -> Option<(LineEvent, Self)> {
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
                        if in_ticks && let Err(error) = socket.get_mut().stop_waking() {
                            return down(format!("the connection failed: {error}"));
                        }
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
