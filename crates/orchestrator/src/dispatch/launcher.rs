//! How bots come into being, and mixes.

use std::io;

use async_trait::async_trait;
use meetbot_types::{
    Availability, Manifest,
    bot::{BotOrder, MixOrder},
};
use tokio_util::sync::CancellationToken;

/// Runs bots and mixes what they recorded, where the files are. The server knows nothing else about either.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// The ways into meetings that its bots know, and what is missing for those that they cannot take.
    fn available(&self) -> Vec<Availability>;

    /// Runs one bot to its end. Whether its work is done, the bot itself has told the server; one that returns without having done
    /// so is replaced. On `stop` the bot leaves its files in order and returns soon, its job not ended.
    async fn run(&self, order: BotOrder, stop: CancellationToken);

    /// Makes the mix of a recording, or gives it up, and replaces the recording's manifest by one that says so; answers that manifest. Where the manifest
    /// says already what became of the mix, nothing is done. On `stop` it ends soon, leaves the manifest as it was and answers `None`.
    ///
    /// Fails where the manifest is not there ([`io::ErrorKind::NotFound`]), or cannot be read or written; the same order may work later.
    async fn mix(&self, order: MixOrder, stop: CancellationToken) -> io::Result<Option<Manifest>>;
}
