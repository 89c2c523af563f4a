//! Tells the orchestrator what happens, in order, each thing until it is acknowledged. An orchestrator that is away loses nothing.

mod queue;

use std::time::Duration;

use meetbot_types::bot::{
    BotOrder, BotReport, HEARTBEAT_SECONDS, IngestAnswer, IngestRequest, NumberedReport,
};
use reqwest::{Client, StatusCode};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::queue::{Next, Queue};
use crate::{
    clock,
    recording::Counters,
    refusal::{self, Refusal},
};

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The waits between tries, while the orchestrator is away.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a bot that stops tries to be heard once more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a bot says what happens.
pub(crate) struct Reporter {
    reports: mpsc::UnboundedSender<BotReport>,
    /// Another attempt has the job: this one is to leave and to write nothing more.
    pub(crate) superseded: CancellationToken,
    sending: JoinHandle<()>,
}

impl Reporter {
    /// Starts to report.
    pub(crate) fn start(order: &BotOrder, client: Client, counters: Counters) -> Self {
        let (reports, queue) = mpsc::unbounded_channel();
        let superseded = CancellationToken::new();
        let sender = Sender {
            client,
            url: format!(
                "{}/api/v1/ingest?jobId={}&epoch={}",
                order.orchestrator_url, order.job_id, order.epoch
            ),
            order: order.clone(),
            reports: queue,
            unacknowledged: Queue::new(),
            counters,
            superseded: superseded.clone(),
        };
        Self { reports, superseded, sending: tokio::spawn(sender.run().in_current_span()) }
    }

    /// Reports something.
    pub(crate) fn report(&self, report: BotReport) {
        // The sender is gone only when the bot is superseded.
        let _ = self.reports.send(report);
    }

    /// Waits until everything is acknowledged; once it is stopped, not for long any more: what is not told stands in the journal.
    pub(crate) async fn finish(self, stop: &CancellationToken) {
        drop(self.reports);
        let mut sending = self.sending;
        tokio::select! {
            _ = &mut sending => {}
            () = stop.cancelled() => last_words(sending).await,
        }
    }

    /// Tries for a moment to have everything acknowledged, and says no more.
    pub(crate) async fn last_words(self) {
        drop(self.reports);
        last_words(self.sending).await;
    }
}

async fn last_words(mut sending: JoinHandle<()>) {
    if tokio::time::timeout(LAST_WORDS, &mut sending).await.is_err() {
        sending.abort();
    }
}

struct Sender {
    client: Client,
    url: String,
    order: BotOrder,
    reports: mpsc::UnboundedReceiver<BotReport>,
    unacknowledged: Queue,
    counters: Counters,
    superseded: CancellationToken,
}

impl Sender {
    async fn run(mut self) {
        let heartbeat = Duration::from_secs(u64::from(HEARTBEAT_SECONDS));
        let mut open = true;
        let mut wait = FIRST_WAIT;
        while open || !self.unacknowledged.is_empty() {
            if open && self.unacknowledged.is_empty() {
                match tokio::time::timeout(heartbeat, self.reports.recv()).await {
                    Ok(Some(report)) => self.take(report),
                    Ok(None) => open = false,
                    Err(_) => self.take(BotReport::Heartbeat { media: self.counters.get() }),
                }
            }
            while let Ok(report) = self.reports.try_recv() {
                self.take(report);
            }
            if self.unacknowledged.is_empty() {
                continue;
            }
            let sent = self.unacknowledged.batch();
            let problem = match self.send(&sent).await {
                Ok(seq) if self.unacknowledged.acknowledged(seq, &sent) => {
                    wait = FIRST_WAIT;
                    continue;
                }
                Ok(seq) => format!("it has applied nothing after report {seq}"),
                Err(Refusal::Superseded) => {
                    self.superseded.cancel();
                    return;
                }
                Err(Refusal::Unreadable) => {
                    match self.unacknowledged.unreadable(&sent, self.counters.get()) {
                        Next::Smaller => continue,
                        Next::LeftOut { seq, kind } => {
                            tracing::warn!(job = %self.order.job_id, seq, kind, "the orchestrator cannot read a report; it is left out");
                            continue;
                        }
                        Next::Wait => "it cannot read a report that has to be heard".to_owned(),
                    }
                }
                Err(Refusal::Away(problem)) => problem,
            };
            tracing::debug!(job = %self.order.job_id, problem, "the orchestrator is away");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn take(&mut self, report: BotReport) {
        self.unacknowledged.push(report, clock::wall());
    }

    /// Sends reports; answers up to which number all are applied.
    async fn send(&self, reports: &[NumberedReport]) -> Result<u64, Refusal> {
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: reports.to_vec(),
        };
        let away = |error: reqwest::Error| Refusal::Away(error.without_url().to_string());
        let sent = self
            .client
            .post(&self.url)
            .bearer_auth(self.order.token.expose())
            .timeout(TIME_LIMIT)
            .json(&request)
            .send();
        let answer = sent.await.map_err(away)?;
        if answer.status() != StatusCode::OK {
            return Err(refusal::read(answer).await);
        }
        Ok(answer.json::<IngestAnswer>().await.map_err(away)?.acknowledged)
    }
}
