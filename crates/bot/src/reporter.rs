//! Tells the orchestrator what happens, in order, each thing until it is acknowledged. An orchestrator that is away loses nothing.

use std::{collections::VecDeque, time::Duration};

use meetbot_types::bot::{
    BotOrder, BotReport, HEARTBEAT_SECONDS, IngestAnswer, IngestRequest, NumberedReport,
};
use reqwest::{Client, StatusCode};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{clock, recording::Counters};

/// How many reports go into one request.
const BATCH: usize = 50;
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
            queue,
            unacknowledged: VecDeque::new(),
            last_seq: 0,
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

    /// Waits until everything is acknowledged.
    pub(crate) async fn finish(self) {
        drop(self.reports);
        let _ = self.sending.await;
    }

    /// Waits until everything is acknowledged, but not for long: what is not told stands in the journal.
    pub(crate) async fn last_words(mut self) {
        drop(self.reports);
        if tokio::time::timeout(LAST_WORDS, &mut self.sending).await.is_err() {
            self.sending.abort();
        }
    }

    /// Says no more.
    pub(crate) fn fall_silent(self) {
        self.sending.abort();
    }
}

struct Sender {
    client: Client,
    url: String,
    order: BotOrder,
    queue: mpsc::UnboundedReceiver<BotReport>,
    unacknowledged: VecDeque<NumberedReport>,
    last_seq: u64,
    counters: Counters,
    superseded: CancellationToken,
}

enum Answer {
    Acknowledged(u64),
    Superseded,
    Away(String),
}

impl Sender {
    async fn run(mut self) {
        let heartbeat = Duration::from_secs(u64::from(HEARTBEAT_SECONDS));
        let mut open = true;
        let mut wait = FIRST_WAIT;
        while open || !self.unacknowledged.is_empty() {
            if open && self.unacknowledged.is_empty() {
                match tokio::time::timeout(heartbeat, self.queue.recv()).await {
                    Ok(Some(report)) => self.take(report),
                    Ok(None) => open = false,
                    Err(_) => self.take(BotReport::Heartbeat { media: self.counters.get() }),
                }
            }
            while let Ok(report) = self.queue.try_recv() {
                self.take(report);
            }
            if self.unacknowledged.is_empty() {
                continue;
            }
            match self.send().await {
                Answer::Acknowledged(seq) => {
                    self.unacknowledged.retain(|report| report.seq > seq);
                    wait = FIRST_WAIT;
                }
                Answer::Superseded => {
                    self.superseded.cancel();
                    return;
                }
                Answer::Away(problem) => {
                    tracing::debug!(job = %self.order.job_id, problem, "the orchestrator is away");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn take(&mut self, report: BotReport) {
        self.last_seq += 1;
        let numbered = NumberedReport { seq: self.last_seq, at: clock::wall(), report };
        self.unacknowledged.push_back(numbered);
    }

    async fn send(&self) -> Answer {
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: self.unacknowledged.iter().take(BATCH).cloned().collect(),
        };
        let sent = self
            .client
            .post(&self.url)
            .bearer_auth(self.order.token.expose())
            .timeout(TIME_LIMIT)
            .json(&request)
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return Answer::Away(error.without_url().to_string()),
        };
        match answer.status() {
            StatusCode::OK => match answer.json::<IngestAnswer>().await {
                Ok(answer) => Answer::Acknowledged(answer.acknowledged),
                Err(error) => Answer::Away(error.without_url().to_string()),
            },
            // A token that is not known is one of an attempt that is over.
            StatusCode::CONFLICT | StatusCode::UNAUTHORIZED => Answer::Superseded,
            status => Answer::Away(format!("it answers {status}")),
        }
    }
}
