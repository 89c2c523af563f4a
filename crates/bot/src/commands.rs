//! Fetches commands from the orchestrator by long poll, so that they arrive within milliseconds.

use std::{collections::HashSet, fmt::Write as _, time::Duration};

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
};

/// How long the orchestrator may hold a poll.
const WAIT_SECONDS: u64 = 25;
const TIME_LIMIT: Duration = Duration::from_secs(WAIT_SECONDS + 10);
const WAIT_AFTER_ERROR: Duration = Duration::from_secs(1);
/// The shortest time between two polls that bring no command: an orchestrator that stops, or has only commands of another version, answers at once.
const WAIT_AFTER_NOTHING: Duration = Duration::from_secs(1);

/// An instruction of the orchestrator.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A command.
    Command(BotCommand),
    /// The ids of this server's bots in the room, in the order of [`OwnBots`].
    OwnBots(Vec<String>),
}

/// The queue of instructions. Dropping it ends the polling.
pub(crate) struct Inbox {
    incoming: mpsc::Receiver<Incoming>,
    polling: JoinHandle<()>,
}

impl Inbox {
    /// Starts to poll. Zoom's stream of the meeting, if the orchestrator sends it, goes to `zoom_stream`: a meeting that is joined later needs it too. When the
    /// orchestrator has `forgotten` something, it may number new commands as it numbered earlier ones.
    pub(crate) fn open(
        order: &BotOrder,
        connect: &Connect,
        zoom_stream: watch::Sender<Option<ZoomStream>>,
        forgotten: watch::Receiver<()>,
    ) -> Self {
        let (sender, incoming) = mpsc::channel(16);
        let (client, address) = (connect.http.clone(), Address::of(order, connect));
        let order = order.clone();
        let polling = async move {
            poll(&order, &client, &address, &sender, &zoom_stream, forgotten).await;
        };
        let polling = tokio::spawn(polling.in_current_span());
        Self { incoming, polling }
    }

    /// An inbox for tests.
    #[cfg(test)]
    pub(crate) fn of(incoming: mpsc::Receiver<Incoming>) -> Self {
        Self { incoming, polling: tokio::spawn(std::future::ready(())) }
    }

    /// The next instruction. Cancel-safe. It never returns after the last one.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.incoming.recv().await {
            Some(incoming) => incoming,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

async fn poll(
    order: &BotOrder,
    client: &Client,
    address: &Address,
    inbox: &mpsc::Sender<Incoming>,
    zoom_stream: &watch::Sender<Option<ZoomStream>>,
    mut forgotten: watch::Receiver<()>,
) {
    let mut after = 0;
    let mut received = HashSet::new();
    let mut known_bots = OwnBots::default().version();
    // Without an address there is nothing to poll; the reporter finds the same, and ends the bot.
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
        let ask = client.get(&url).bearer_auth(order.token.expose()).timeout(TIME_LIMIT).send();
        let asked = tokio::select! {
            asked = ask => asked,
            Ok(()) = forgotten.changed() => {
                after = 0;
                continue;
            }
        };
        let commands = match asked {
            Ok(answer) if answer.status() == StatusCode::OK => answer.json::<Commands>().await.ok(),
            // A bot that is superseded is ended by its reporter. One whose claim was forgotten may be adopted with its next report.
            Ok(_) | Err(_) => None,
        };
        let Some(Commands { commands, own_bots, zoom_stream: stream }) = commands else {
            address.use_next();
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
            if received.insert(command.id) {
                incoming.push(Incoming::Command(command));
            }
        }
        for one in incoming {
            if inbox.send(one).await.is_err() {
                return;
            }
        }
    }
}
