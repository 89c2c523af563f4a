//! How a bot comes into being.

use async_trait::async_trait;
use meetbot_types::{Platform, bot::BotOrder};
use tokio_util::sync::CancellationToken;

/// Runs bots. The server knows nothing else about them.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// What its bots can join.
    fn platforms(&self) -> Vec<Platform>;

    /// Runs one bot to its end. Whether its work is done, the bot itself has told the server; one that returns without having done
    /// so is replaced. On `stop` the bot leaves its files in order and returns soon, its job not ended.
    async fn run(&self, order: BotOrder, stop: CancellationToken);
}
