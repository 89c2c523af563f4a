//! The interface that runs bots and makes mixes.

use std::io;

use async_trait::async_trait;
use meetbot_types::{
    Availability, JobId, Manifest, Via,
    bot::{BotOrder, MixOrder},
};
use tokio_util::sync::CancellationToken;

/// Runs bots, and mixes their recordings, on the machine that has the files.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// The platforms that its bots can join, and the missing requirements of the others.
    fn available(&self) -> Vec<Availability>;

    /// Runs one bot to its end, or until it may go on without this server. The bot itself reports to the server whether its work is done; one that has ended without
    /// having done so is replaced.
    async fn run(&self, order: BotOrder, stop: Stop) -> BotExit;

    /// Whether bots read their media so late that they lose some, or soon will: no more are launched until they have caught up.
    fn is_behind(&self) -> bool;

    /// Sets the URL at which the server listens, for bots that outlive an earlier server. Called before all other methods but `available`.
    fn set_server_url(&self, url: &str) -> io::Result<()>;

    /// Whether the bot of an attempt, launched by an earlier server, still runs.
    fn is_alive(&self, job: JobId, attempt: u32) -> bool;

    /// Waits as [`Launcher::run`] does for a bot that lives.
    async fn adopt(&self, job: JobId, attempt: u32, stop: Stop) -> BotExit;

    /// Makes the mix of a recording, or gives it up, and replaces the recording's manifest by one that says so; answers that manifest. Where the manifest
    /// says already what became of the mix, nothing is done. On `stop` it ends soon, leaves the manifest as it was and answers `None`.
    ///
    /// Fails where the manifest is not there ([`io::ErrorKind::NotFound`]), or cannot be read or written; the same order may work later.
    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>>;
}

/// The platforms that jobs of a server can be for. Where its bots run on other machines (`own` is false), what they need is on those: a platform can be joined as the
/// settings say, whichever workers are there. Browsers are one of the settings.
pub(crate) fn available_to(
    launcher: &dyn Launcher,
    own: bool,
    browsers: bool,
) -> Vec<Availability> {
    let mut available = launcher.available();
    for way in &mut available {
        if !own && (way.via != Via::Browser || browsers) {
            way.missing.clear();
        }
    }
    available
}

/// The signals to bots when their server stops.
#[derive(Debug, Clone)]
pub struct Stop {
    /// No more jobs are taken. Bots that can run without the server are no longer supervised.
    pub drain: CancellationToken,
    /// The others leave their files in order and end soon, their jobs not ended.
    pub leave: CancellationToken,
}

/// How a bot's task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BotExit {
    /// It has ended.
    Ended,
    /// It continues without this server, and the next server takes it over.
    Detached,
    /// It was not started: the attempt had another bot before, which the servers have forgotten.
    HadAnother,
}
