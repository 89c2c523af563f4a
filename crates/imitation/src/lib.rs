//! An imitation of Google Meet, for tests of the bot that joins it with a browser. It tests our code, not Google's page:
//! texts, elements and messages follow published observations.
//!
//! [`serve`] listens on loopback with a generated certificate for `meet.google.com`. A browser reaches it by the real link
//! if it is started with the switches of [`Imitation::resolver_rules`] and [`Imitation::spki_sha256`]. A [`Scenario`] defines
//! the meeting; [`Action`]s, of its steps or of [`Imitation::act`], change it; [`Observed`] holds the observations of the
//! bot.

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
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::meeting::Meeting;
pub use self::{
    compression::Compression,
    observed::{Click, Devices, Fault, Observed},
    scenario::{
        Action, Chat, Decoys, Dialect, LeavingShown, Person, Scenario, Signal, Sound, Step, Video,
    },
    screens::{Dialog, Screen},
    tones::TONES_HZ,
};

/// Why an imitation cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port can be bound.
    #[error("the imitation cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// No certificate can be made.
    #[error("the imitation has no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be used.
    #[error("the imitation cannot do TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// How long [`Imitation::until`] waits.
const MOST_WAIT: Duration = Duration::from_mins(2);

/// The meeting, shared by the server's connections and its media sessions.
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

    /// Changes the meeting, and wakes all tasks that wait for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Meeting) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }
}

/// A running imitation. Dropping it stops it.
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

/// Starts a meeting on a free port of loopback.
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
    /// The address at which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base64 of the SHA-256 of its certificate's public key, for Chromium's `--ignore-certificate-errors-spki-list`.
    pub fn spki_sha256(&self) -> &str {
        &self.spki_sha256
    }

    /// The value for Chromium's `--host-resolver-rules`: Meet's hosts resolve to this server, all others do not resolve.
    pub fn resolver_rules(&self) -> String {
        let port = self.address.port();
        let maps = certificate::HOSTS.map(|host| format!("MAP {host}:443 127.0.0.1:{port}"));
        format!("{}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", maps.join(", "))
    }

    /// Applies an act to the meeting.
    pub fn act(&self, act: Action) {
        self.shared.change(|meeting| meeting.act(act));
    }

    /// The observations of the bot so far.
    pub fn observed(&self) -> Observed {
        self.shared.lock().observed.clone()
    }

    /// Waits until `holds` is true, and returns the observations.
    ///
    /// # Panics
    /// It is not true within 2 minutes, in which also a busy machine runs through a scenario: what is awaited will not happen.
    pub async fn until(&self, holds: impl Fn(&Observed) -> bool) -> Observed {
        let held = tokio::time::timeout(MOST_WAIT, self.wait_until(holds)).await;
        held.unwrap_or_else(|_| panic!("the wait timed out: {:#?}", self.observed()))
    }

    async fn wait_until(&self, holds: impl Fn(&Observed) -> bool) -> Observed {
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

    /// Ends the meeting, and waits until all of its tasks have ended.
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
