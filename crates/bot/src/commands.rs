//! Asks the orchestrator for commands, by long poll, so that they come within milliseconds.

use std::{fmt::Write as _, time::Duration};

use meetbot_types::bot::{BotCommand, BotOrder, Commands, OwnBots, ZoomStream};
use reqwest::{Client, StatusCode};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tracing::Instrument as _;

use crate::{
    clock,
    connect::{Address, Connect},
    refusal::{self, Refusal},
};

/// How long the orchestrator may hold a question.
const WAIT_SECONDS: u64 = 25;
const TIME_LIMIT: Duration = Duration::from_secs(WAIT_SECONDS + 10);
const WAIT_AFTER_ERROR: Duration = Duration::from_secs(1);
/// An orchestrator that stops, or that only has commands of another version, answers at once with none: it is asked again this long after the question.
const WAIT_AFTER_NOTHING: Duration = Duration::from_secs(1);

/// What the orchestrator answers.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Something to do.
    Command(BotCommand),
    /// Under these ids this server's bots are in the room, in the order of [`OwnBots`].
    OwnBots(Vec<String>),
}

/// What comes in. Dropping it ends the asking.
pub(crate) struct Inbox {
    incoming: mpsc::Receiver<Incoming>,
    asking: JoinHandle<()>,
}

impl Inbox {
    /// Starts to ask. What the orchestrator knows of the meeting's stream goes to `zoom_stream`: a meeting that is joined later needs it too.
    pub(crate) fn open(
        order: &BotOrder,
        connect: &Connect,
        zoom_stream: watch::Sender<Option<ZoomStream>>,
    ) -> Self {
        let (sender, incoming) = mpsc::channel(16);
        let (client, address) = (connect.http.clone(), Address::of(order, connect));
        let order = order.clone();
        let asking = async move { ask(&order, &client, &address, &sender, &zoom_stream).await };
        let asking = tokio::spawn(asking.in_current_span());
        Self { incoming, asking }
    }

    /// What a test sends.
    #[cfg(test)]
    pub(crate) fn of(incoming: mpsc::Receiver<Incoming>) -> Self {
        Self { incoming, asking: tokio::spawn(std::future::ready(())) }
    }

    /// What comes in next. Dropping the call loses nothing. Never answers once no more can come.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.incoming.recv().await {
            Some(incoming) => incoming,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(
    order: &BotOrder,
    client: &Client,
    address: &Address,
    inbox: &mpsc::Sender<Incoming>,
    zoom_stream: &watch::Sender<Option<ZoomStream>>,
) {
    let mut after = 0;
    let mut known_bots = OwnBots::default().version();
    // Without an address there is nobody to ask; the reporter finds the same, and ends the bot.
    while let Some(url) = address.url().await {
        let mut url = format!(
            "{url}/api/v1/ingest/commands?jobId={}&epoch={}&after={after}&knownBots={known_bots}&wait={WAIT_SECONDS}",
            order.job_id, order.epoch
        );
        if order.zoom.is_some() {
            let known = zoom_stream.borrow().as_ref().map_or(0, |stream| stream.version);
            let _ = write!(url, "&knownStream={known}");
        }
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
        let Some(Commands { commands, own_bots, zoom_stream: stream }) = commands else {
            address.is_away();
            tokio::time::sleep(WAIT_AFTER_ERROR).await;
            continue;
        };
        let news = own_bots.filter(|own_bots| own_bots.version() != known_bots);
        let is_newer = |stream: &ZoomStream| {
            zoom_stream.borrow().as_ref().is_none_or(|known| known.version < stream.version)
        };
        let stream = stream.filter(is_newer);
        if commands.is_empty() && news.is_none() && stream.is_none() {
            tokio::time::sleep_until(again.into()).await;
        }
        if stream.is_some() {
            zoom_stream.send_replace(stream);
        }
        let mut incoming = Vec::new();
        if let Some(own_bots) = news {
            known_bots = own_bots.version();
            incoming.push(Incoming::OwnBots(own_bots.ids));
        }
        for command in commands {
            after = after.max(command.seq);
            incoming.push(Incoming::Command(command));
        }
        for one in incoming {
            if inbox.send(one).await.is_err() {
                return;
            }
        }
    }
}
