//! A hostile meeting server: it admits bots as a normal one does, sends them the voice of a person, and then floods them.
//!
//! It speaks the protocol of Janus (`VideoRoom`, `TextRoom`) or that of the sandbox, over a real WebSocket and real WebRTC, on loopback. A seed decides
//! its messages; their number and the time have bounds.

mod call;
mod flood;
mod janus;
mod sandbox;
mod trap;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use self::{
    flood::{Flood, Kind},
    trap::Trap,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A running hostile server; dropping it ends its meetings.
#[derive(Debug)]
pub struct HostileServer {
    address: SocketAddr,
    rooms: Rooms,
    serving: JoinHandle<()>,
}

type Rooms = Arc<[Arc<Room>]>;

/// The state that the connections of one flood share: a bot that joins again gets the rest of the flood.
#[derive(Debug)]
struct Room {
    flood: Flood,
    /// How many messages of the flood were sent.
    sent_messages: AtomicU32,
    bytes: AtomicU64,
    joins: AtomicU32,
    /// Whether the time of the flood is over.
    is_over: AtomicBool,
}

impl Room {
    fn new(flood: Flood) -> Arc<Self> {
        Arc::new(Self {
            flood,
            sent_messages: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            joins: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
        })
    }

    /// The numbers of the next messages to send, so many at most; none when the flood is over.
    fn take(&self, most: u32) -> std::ops::Range<u32> {
        let count = if self.is_over.load(Ordering::Relaxed) { 0 } else { self.flood.count };
        let more = |said: u32| (said < count).then(|| said.saturating_add(most).min(count));
        match self.sent_messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(said) => said..said.saturating_add(most).min(count),
            Err(said) => said..said,
        }
    }

    fn over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
            || self.sent_messages.load(Ordering::Relaxed) >= self.flood.count
    }

    /// One more bot joins. The first begins the time of the flood.
    fn join(self: &Arc<Self>) {
        if self.joins.fetch_add(1, Ordering::Relaxed) == 0 {
            let room = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(room.flood.time).await;
                room.is_over.store(true, Ordering::Relaxed);
            });
        }
    }

    fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// How much of a flood was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodReport {
    /// The flood's kind.
    pub kind: &'static str,
    /// How often bots joined.
    pub joins: u32,
    /// Messages of the flood: people, names, texts, candidates.
    pub messages: u32,
    /// Their bytes.
    pub bytes: u64,
}

impl HostileServer {
    /// A Janus.
    pub async fn janus(flood: Flood) -> io::Result<Self> {
        let room = Room::new(flood);
        let rooms = Arc::from([Arc::clone(&room)]);
        Self::listen(rooms, move |bot| {
            let room = Arc::clone(&room);
            async move { Box::pin(janus::meet(bot, &room)).await }
        })
        .await
    }

    /// A sandbox. A bot with the display name of a flood ([`Kind::victim`]) gets that flood; the connections of all others are passed on to the
    /// good sandbox at `good` (`ws://127.0.0.1:40001`).
    pub async fn sandbox(floods: Vec<Flood>, good: String) -> io::Result<Self> {
        let rooms: Rooms = floods.into_iter().map(Room::new).collect();
        let shared = Arc::clone(&rooms);
        Self::listen(rooms, move |bot| {
            let (rooms, good) = (Arc::clone(&shared), good.clone());
            async move { sandbox::meet(bot, &rooms, &good).await }
        })
        .await
    }

    async fn listen<M>(
        rooms: Rooms,
        meet: impl Fn(TcpStream) -> M + Send + 'static,
    ) -> io::Result<Self>
    where
        M: Future<Output = Outcome<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            // Ends with this task.
            let mut bots = JoinSet::new();
            while let Ok((bot, _)) = listener.accept().await {
                // An error only says that the bot has disconnected, which is expected.
                bots.spawn(meet(bot));
                while bots.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, rooms, serving })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link of its meeting, for a hostile Janus.
    pub fn link(&self) -> String {
        format!("janus+ws://{}/?room=1234&textroom=1234", self.address)
    }

    /// How much of each flood was sent so far.
    pub fn reports(&self) -> Vec<FloodReport> {
        let report = |room: &Arc<Room>| FloodReport {
            kind: room.flood.kind.name(),
            joins: room.joins.load(Ordering::Relaxed),
            messages: room.sent_messages.load(Ordering::Relaxed),
            bytes: room.bytes.load(Ordering::Relaxed),
        };
        self.rooms.iter().map(report).collect()
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// How long the server waits for a message that a bot sends at once.
const PATIENCE: Duration = Duration::from_secs(30);
