//! Zoom's Realtime Media Streams (RTMS) on loopback: one signalling server and media servers over TLS, as its public documents describe version 1.
//!
//! A test scripts the events step by step ([`Step`]). A message of a bot that violates the documents is a fault ([`Zoom::faults`]).

mod connection;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

pub use self::webhook::Webhook;

/// A connection: 0 is signalling, other numbers are the type of media (1 sound, 2 cameras, 4 shared screen, 8 transcript, 16 chat).
pub type Line = u64;

/// The signalling connection.
pub const SIGNALLING: Line = 0;

/// The connection of sound.
const SOUND: Line = 1;

/// A status for [`Zoom::refuse`]: the connection is closed without an answer to its handshake.
pub const CUT: u64 = u64::MAX;

/// A scripted event. Each step except [`Step::Keep`] waits until its connection is open and its handshake done.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends a message on a connection. Media are sent again on a connection that replaces another.
    Say(Line, Value),
    /// Sends a message on a media connection, or on the next one if none is open, after everything that was sent before.
    Keep(Line, Value),
    /// Closes a connection.
    Cut(Line),
}

/// A running fake of Zoom; dropping it closes all connections.
#[derive(Debug)]
pub struct Zoom {
    certificate: CertificateDer<'static>,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// The app and the stream whose signature bots have to present.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: String,
    /// The meeting's UUID.
    pub meeting_uuid: String,
    /// The stream's id.
    pub stream_id: String,
}

#[derive(Debug)]
struct Shared {
    stream: Stream,
    host: String,
    port: u16,
    state: Mutex<State>,
    /// Of the next keep-alive of [`Zoom::has_sent_all`].
    number: AtomicU64,
    /// Changes when a connection opens or closes, or the bot sends a message.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// The statuses with which the next handshakes are refused.
    refusals: BTreeMap<Line, VecDeque<u64>>,
    /// Connections whose handshakes are not answered yet.
    held: BTreeSet<Line>,
    /// Connections whose handshake is done.
    ready: BTreeMap<Line, mpsc::UnboundedSender<Out>>,
    /// Media connections that wait until the bot reports on signalling that it is ready.
    waiting: Vec<(Line, mpsc::UnboundedSender<Out>)>,
    /// The media that were sent on each connection.
    said: BTreeMap<Line, Vec<Value>>,
    /// How many handshakes succeeded.
    handshakes: BTreeMap<Line, usize>,
    heard: Vec<(Line, Value)>,
    /// Whether the app has closed the stream, so that no bot can join it any more.
    closed: bool,
    faults: Vec<String>,
}

/// The output of a connection.
#[derive(Debug)]
enum Out {
    Say(Value),
    Cut,
}

/// A packet of a participant's voice, captured at this time in ms of Unix time.
pub fn sound(id: i64, name: &str, packet: &[u8], at_ms: i64) -> Step {
    let data = STANDARD.encode(packet);
    let content = json!({"user_id": id, "user_name": name, "data": data, "timestamp": at_ms});
    Step::Say(SOUND, json!({"msg_type": 14, "content": content}))
}

impl Zoom {
    /// Listens on loopback, as `localhost`.
    ///
    /// # Errors
    /// Where no port is free.
    ///
    /// # Panics
    /// Where no certificate can be made.
    pub async fn start(stream: Stream) -> io::Result<Self> {
        Self::start_as("localhost", stream).await
    }

    /// Listens on loopback under this host name, which must resolve to loopback.
    ///
    /// # Errors
    /// Where no port is free.
    ///
    /// # Panics
    /// Where no certificate can be made.
    pub async fn start_as(host: &str, stream: Stream) -> io::Result<Self> {
        let host = host.to_owned();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([host.clone()]).expect("a certificate for the name");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            stream,
            host,
            port,
            state: Mutex::default(),
            number: AtomicU64::new(1_000_000),
            changes: watch::Sender::new(0),
        });
        let serve = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            let mut bots = JoinSet::new();
            while let Ok((bot, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&serve));
                bots.spawn(async move {
                    if let Ok(bot) = acceptor.accept(bot).await {
                        connection::serve(bot, &shared).await;
                    }
                });
                while bots.try_join_next().is_some() {}
            }
        });
        Ok(Self { certificate: cert.der().clone(), shared, serving })
    }

    /// The URL of the signalling server, as a webhook names it.
    pub fn url(&self) -> String {
        format!("wss://{}:{}/signalling", self.shared.host, self.shared.port)
    }

    /// Its certificate, which bots have to trust.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        crate::certificate::in_pem("CERTIFICATE", &self.certificate)
    }

    /// Refuses the next handshakes on a connection with these statuses, or cuts them ([`CUT`]).
    pub fn refuse(&self, line: Line, statuses: &[u64]) {
        self.shared.state().refusals.entry(line).or_default().extend(statuses);
    }

    /// Leaves handshakes on a connection unanswered until [`Zoom::release`].
    pub fn hold(&self, line: Line) {
        self.shared.state().held.insert(line);
    }

    /// Answers the pending handshakes on a connection, and later ones.
    pub fn release(&self, line: Line) {
        self.shared.state().held.remove(&line);
        self.shared.changed();
    }

    /// Plays these steps, one after another.
    pub async fn play(&self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            let (Step::Say(line, _) | Step::Keep(line, _) | Step::Cut(line)) = &step;
            let line = *line;
            if !matches!(step, Step::Keep(..)) {
                self.shared.when(|state| state.ready.contains_key(&line)).await;
            }
            let mut state = self.shared.state();
            match step {
                Step::Say(_, word) | Step::Keep(_, word) => {
                    if line != SIGNALLING {
                        state.said.entry(line).or_default().push(word.clone());
                    }
                    // A closed connection counts as cut: the next one gets it again.
                    if let Some(out) = state.ready.get(&line) {
                        let _ = out.send(Out::Say(word));
                    }
                }
                Step::Cut(_) => {
                    if let Some(out) = state.ready.remove(&line) {
                        let _ = out.send(Out::Cut);
                    }
                }
            }
        }
    }

    /// Waits until the bot has sent a message for which `wanted` is true.
    pub async fn receives(&self, wanted: impl Fn(Line, &Value) -> bool) {
        self.shared.when(|state| state.heard.iter().any(|(line, word)| wanted(*line, word))).await;
    }

    /// Waits until the bot has read everything that was sent on these connections: it answers a keep-alive after it.
    pub async fn has_sent_all(&self, lines: &[Line]) {
        for line in lines {
            let number = self.shared.number.fetch_add(1, Ordering::Relaxed);
            self.play([Step::Say(*line, json!({"msg_type": 12, "timestamp": number}))]).await;
            let answers = |on: Line, word: &Value| {
                on == *line && word["msg_type"] == 13 && word["timestamp"] == number
            };
            self.receives(answers).await;
        }
    }

    /// Waits until this many handshakes on a connection succeeded.
    pub async fn connects(&self, line: Line, times: usize) {
        self.shared
            .when(|state| state.handshakes.get(&line).is_some_and(|done| *done >= times))
            .await;
    }

    /// All violations of the documents by bots.
    pub fn faults(&self) -> Vec<String> {
        self.shared.state().faults.clone()
    }
}

impl Drop for Zoom {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    async fn when(&self, holds: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        // The sender lives as long as this value.
        let _ = changes.wait_for(|_| holds(&self.state())).await;
    }
}
