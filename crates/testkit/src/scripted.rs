//! An HTTP server whose answers are scripted, invalid ones included, and that records its requests.

pub mod commands;
mod receiver;
mod request;
mod script;

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

pub use self::{
    receiver::{Receiver, Webhook},
    request::Request,
    script::{Answer, Reply, Script, Then},
};

/// About this much of a flood is written at once.
const FLOOD_BYTES: usize = 64 << 10;

/// An event at a server, in order. A connection is named by its number, from 1 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// A client has connected.
    Opened(u64),
    /// A whole request has come. It is reported before its answer is sent.
    Requested(u64, Request),
    /// A connection has ended.
    Closed {
        /// Its number.
        connection: u64,
        /// Whether the client closed it; otherwise the server did, as scripted.
        by_client: bool,
    },
}

/// A server on a free port of loopback. It serves until it is stopped or its process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Gives these answers in turn, and status 599 after the last.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(script: impl Into<Script>) -> io::Result<Self> {
        Self::observed(script, |_| ())
    }

    /// The same, and reports each event.
    ///
    /// # Errors
    /// When no port is free.
    pub fn observed(
        script: impl Into<Script>,
        report: impl Fn(ConnectionEvent) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let Script { replies, events } = script.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            replies: Mutex::new(replies.into()),
            events: events.map(|events| Mutex::new(events.into())),
            requests: Mutex::default(),
            open: Mutex::default(),
            relay: Mutex::default(),
            stopped: AtomicBool::new(false),
            report: Box::new(report),
        });
        let server = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for (stream, connection) in listener.incoming().map_while(Result::ok).zip(1..) {
                if server.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let server = Arc::clone(&server);
                thread::spawn(move || server.serve(connection, stream));
            }
        });
        Ok(Self { address, shared, accepting })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that have come, in their order.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }

    /// Sends these bytes over the connection that [relays](Then::Relays), or over the next one that will.
    pub fn send(&self, bytes: &[u8]) {
        let mut relay = locked(&self.shared.relay);
        match &mut relay.to {
            // A client that has just hung up does not get them.
            Some((_, stream)) => drop(stream.write_all(bytes)),
            None => relay.waiting.extend(bytes),
        }
    }

    /// Ends its connections and refuses new ones.
    pub fn stop(self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // This connection wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        drop(self.accepting.join());
        for stream in locked(&self.shared.open).values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    events: Option<Mutex<VecDeque<Reply>>>,
    requests: Mutex<Vec<Request>>,
    open: Mutex<BTreeMap<u64, TcpStream>>,
    relay: Mutex<Relay>,
    stopped: AtomicBool,
    report: Box<dyn Fn(ConnectionEvent) + Send + Sync>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Bytes that a test sends over an open connection.
#[derive(Default)]
struct Relay {
    /// The connection, once there is one.
    to: Option<(u64, TcpStream)>,
    /// Bytes to send once there is one.
    waiting: Vec<u8>,
}

impl Shared {
    fn serve(&self, connection: u64, stream: TcpStream) {
        if let Ok(other) = stream.try_clone() {
            locked(&self.open).insert(connection, other);
        }
        (self.report)(ConnectionEvent::Opened(connection));
        let mut reader = BufReader::new(stream);
        let by_client = self.answer_all(connection, &mut reader).is_err();
        // The connection ends with the last of its handles.
        locked(&self.open).remove(&connection);
        let mut relay = locked(&self.relay);
        if relay.to.as_ref().is_some_and(|(relaying, _)| *relaying == connection) {
            relay.to = None;
        }
        drop(relay);
        drop(reader);
        (self.report)(ConnectionEvent::Closed { connection, by_client });
    }

    /// Answers the requests of a connection until the script says that it ends. The end that a client makes is an error.
    fn answer_all(&self, connection: u64, reader: &mut BufReader<TcpStream>) -> io::Result<()> {
        loop {
            let Some(request) = Request::read(reader)? else { return hang(reader) };
            let reply = self.reply_to(&request);
            let bytes = reply.answer.to(&request);
            locked(&self.requests).push(request.clone());
            (self.report)(ConnectionEvent::Requested(connection, request));
            let stream = reader.get_mut();
            stream.write_all(&bytes)?;
            match reply.then {
                Then::Closes => return Ok(()),
                Then::Stays => {}
                Then::Hangs => return hang(reader),
                Then::Resets => {
                    return socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                }
                Then::Floods => {
                    let more = reply.flood.repeat(1 + FLOOD_BYTES / reply.flood.len().max(1));
                    loop {
                        stream.write_all(&more)?;
                    }
                }
                Then::Relays => {
                    let mut relay = locked(&self.relay);
                    stream.write_all(&std::mem::take(&mut relay.waiting))?;
                    relay.to = Some((connection, stream.try_clone()?));
                    drop(relay);
                    return hang(reader);
                }
            }
        }
    }

    /// The answer to this request; one that is given `always` stays for the next.
    fn reply_to(&self, request: &Request) -> Reply {
        let wants_events = request.header("accept") == Some("text/event-stream");
        let replies = self.events.as_ref().filter(|_| wants_events).unwrap_or(&self.replies);
        let mut replies = locked(replies);
        match replies.front() {
            Some(reply) if reply.always => reply.clone(),
            _ => {
                replies.pop_front().unwrap_or_else(|| Reply::answer(599, &[], "no answer is left"))
            }
        }
    }
}

/// Sends nothing until the client closes the connection.
fn hang(reader: &mut BufReader<TcpStream>) -> io::Result<()> {
    io::copy(reader, &mut io::sink())?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
