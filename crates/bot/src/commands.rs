//! Asks the orchestrator for commands, by long poll, so that they come within milliseconds.

use std::time::Duration;

use meetbot_types::bot::{BotCommand, BotOrder, Commands};
use reqwest::{Client, StatusCode};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::Instrument as _;

use crate::{
    clock,
    refusal::{self, Refusal},
};

/// How long the orchestrator may hold a question.
const WAIT_SECONDS: u64 = 25;
const TIME_LIMIT: Duration = Duration::from_secs(WAIT_SECONDS + 10);
const WAIT_AFTER_ERROR: Duration = Duration::from_secs(1);
/// An orchestrator that stops, or that only has commands of another version, answers at once with none: it is asked again this long after the question.
const WAIT_AFTER_NOTHING: Duration = Duration::from_secs(1);

/// The commands that come in. Dropping it ends the asking.
pub(crate) struct Inbox {
    commands: mpsc::Receiver<BotCommand>,
    asking: JoinHandle<()>,
}

impl Inbox {
    /// Starts to ask.
    pub(crate) fn open(order: &BotOrder, client: Client) -> Self {
        let (sender, commands) = mpsc::channel(16);
        let order = order.clone();
        let asking =
            tokio::spawn(async move { ask(&order, &client, &sender).await }.in_current_span());
        Self { commands, asking }
    }

    /// Commands that a test gives.
    #[cfg(test)]
    pub(crate) fn of(commands: mpsc::Receiver<BotCommand>) -> Self {
        Self { commands, asking: tokio::spawn(std::future::ready(())) }
    }

    /// The next command. Dropping the call loses none. Never answers once no more can come.
    pub(crate) async fn next(&mut self) -> BotCommand {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(order: &BotOrder, client: &Client, inbox: &mpsc::Sender<BotCommand>) {
    let mut after = 0;
    loop {
        let url = format!(
            "{}/api/v1/ingest/commands?jobId={}&epoch={}&after={after}&wait={WAIT_SECONDS}",
            order.orchestrator_url, order.job_id, order.epoch
        );
        let again = clock::now() + WAIT_AFTER_NOTHING;
        let asked =
            client.get(&url).bearer_auth(order.token.expose()).timeout(TIME_LIMIT).send().await;
        let commands = match asked {
            Ok(answer) if answer.status() == StatusCode::OK => answer.json::<Commands>().await.ok(),
            Ok(answer) => match refusal::read(answer).await {
                // The reporter hears the same, and ends the bot.
                Refusal::Superseded => return,
                Refusal::Unreadable | Refusal::Away(_) => None,
            },
            Err(_) => None,
        };
        let Some(Commands { commands }) = commands else {
            tokio::time::sleep(WAIT_AFTER_ERROR).await;
            continue;
        };
        if commands.is_empty() {
            tokio::time::sleep_until(again.into()).await;
        }
        for command in commands {
            after = after.max(command.seq);
            if inbox.send(command).await.is_err() {
                return;
            }
        }
    }
}
