//! An imitation of Google Meet, for tests of the bot that joins it with a browser. It proves our code, not Google's page:
//! texts, elements and messages are those that others have published.
//!
//! [`serve`] listens on loopback with a certificate of its own for `meet.google.com`. A browser reaches it by the real link
//! once it is started with the switches that [`Imitation::resolver_rules`] and [`Imitation::spki_sha256`] give. What the
//! meeting is, is a [`Scenario`]; what happens in it are [`Act`]s, of its steps or of [`Imitation::act`]; what was seen of the
//! bot is [`Observed`].

mod certificate;
mod compression;
mod lanes;
mod media;
mod meeting;
mod messages;
mod observed;
mod pictures;
mod scenario;
mod screens;
mod serve;
mod tones;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::meeting::Meeting;
pub use self::{
    compression::Compression,
    observed::{Click, Devices, Fault, Observed},
    scenario::{
        Act, Chat, Decoys, Dialect, LeavingShown, Person, Scenario, Signal, Sound, Step, Video,
    },
    screens::{Dialog, Screen},
    tones::TONES_HZ,
};

/// Why an imitation could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port could be had.
    #[error("the imitation cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// No certificate could be made.
    #[error("the imitation has no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be used.
    #[error("the imitation cannot do TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The meeting, shared by the server's connections and its sessions of media.
#[derive(Debug, Clone)]
struct Shared {
    meeting: Arc<Mutex<Meeting>>,
    /// Counts the changes of the meeting.
    changes: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the meeting and wakes all that wait for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Meeting) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }
}

/// A running imitation. It ends when it is dropped.
pub struct Imitation {
    address: SocketAddr,
    spki_sha256: String,
    shared: Shared,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Imitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imitation").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Begins a meeting on a free port of loopback.
pub async fn serve(scenario: Scenario) -> Result<Imitation, Error> {
    let (tls, spki_sha256) = certificate::make()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let shared = Shared {
        meeting: Arc::new(Mutex::new(Meeting::new(scenario))),
        changes: watch::Sender::new(0),
    };
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let server = serve::Server { shared: shared.clone(), stop: stop.clone(), tasks: tasks.clone() };
    tasks.spawn(serve::run(listener, tls, server));
    tasks.spawn(media::keep_time(shared.clone(), stop.clone()));
    Ok(Imitation { address, spki_sha256, shared, stop, tasks })
}

impl Imitation {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base64 of the SHA-256 of its certificate's public key, for Chromium's `--ignore-certificate-errors-spki-list`.
    pub fn spki_sha256(&self) -> &str {
        &self.spki_sha256
    }

    /// What Chromium's `--host-resolver-rules` has to be: Meet's hosts lead here, and all others nowhere.
    pub fn resolver_rules(&self) -> String {
        let port = self.address.port();
        let maps = certificate::HOSTS.map(|host| format!("MAP {host}:443 127.0.0.1:{port}"));
        format!("{}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", maps.join(", "))
    }

    /// Lets something happen in the meeting.
    pub fn act(&self, act: Act) {
        self.shared.change(|meeting| meeting.act(act));
    }

    /// What was seen of the bot so far.
    pub fn observed(&self) -> Observed {
        self.shared.lock().observed.clone()
    }

    /// Waits until `holds`, without a limit of time, and answers what was seen of the bot then.
    pub async fn until(&self, holds: impl Fn(&Observed) -> bool) -> Observed {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let observed = self.observed();
            if holds(&observed) {
                return observed;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Ends the meeting for good, and waits until nothing of it runs.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Imitation {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
