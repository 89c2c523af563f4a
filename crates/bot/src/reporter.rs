//! Tells the orchestrator what happens, in order, each thing until it is acknowledged. An orchestrator that is away loses nothing.

mod queue;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::bot::{BotOrder, BotReport, IngestAnswer, IngestRequest, NumberedReport};
use reqwest::{Client, StatusCode};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::queue::{Next, Queue};
use crate::{
    clock,
    connect::{Address, Connect},
    recording::Counters,
    refusal::{self, Refusal},
};

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The first wait between tries while the orchestrator is away; the longest is a heartbeat.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How long a bot that stops tries to be heard once more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a bot says what happens.
pub(crate) struct Reporter {
    reports: Arc<Reports>,
    /// Nothing more is reported.
    closed: CancellationToken,
    /// Another attempt has the job: this one is to leave and to write nothing more.
    pub(crate) superseded: CancellationToken,
    sending: JoinHandle<()>,
}

impl Reporter {
    /// Starts to report.
    pub(crate) fn start(order: &BotOrder, connect: &Connect, counters: Counters) -> Self {
        let reports =
            Arc::new(Reports { queue: Mutex::new(Queue::new(clock::now())), news: Notify::new() });
        let [closed, superseded] = [(); 2].map(|()| CancellationToken::new());
        let sender = Sender {
            client: connect.http.clone(),
            address: Address::of(order, connect),
            order: order.clone(),
            reports: Arc::clone(&reports),
            counters,
            closed: closed.clone(),
            superseded: superseded.clone(),
        };
        Self { reports, closed, superseded, sending: tokio::spawn(sender.run().in_current_span()) }
    }

    /// Reports something.
    pub(crate) fn report(&self, report: BotReport) {
        self.reports.push(report);
    }

    /// Waits until everything is acknowledged; once it is stopped, not for long any more: what is not told stands in the journal.
    pub(crate) async fn finish(self, stop: &CancellationToken) {
        self.closed.cancel();
        let mut sending = self.sending;
        tokio::select! {
            _ = &mut sending => {}
            () = stop.cancelled() => last_words(sending).await,
        }
    }

    /// Tries for a moment to have everything acknowledged, and says no more.
    pub(crate) async fn last_words(self) {
        self.closed.cancel();
        last_words(self.sending).await;
    }
}

async fn last_words(mut sending: JoinHandle<()>) {
    if tokio::time::timeout(LAST_WORDS, &mut sending).await.is_err() {
        sending.abort();
    }
}

/// What is to be sent.
struct Reports {
    queue: Mutex<Queue>,
    /// Something was added.
    news: Notify,
}

impl Reports {
    fn push(&self, report: BotReport) {
        self.queue().push(report, clock::wall(), clock::now());
        self.news.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sender {
    client: Client,
    address: Address,
    order: BotOrder,
    reports: Arc<Reports>,
    counters: Counters,
    closed: CancellationToken,
    superseded: CancellationToken,
}

impl Sender {
    async fn run(self) {
        let heartbeat = Duration::from_millis(self.order.heartbeat_ms);
        let mut wait = FIRST_WAIT;
        loop {
            let is_last = self.closed.is_cancelled();
            let sent = self.reports.queue().batch();
            if sent.is_empty() {
                if is_last {
                    return;
                }
                tokio::select! {
                    () = self.reports.news.notified() => {}
                    () = self.closed.cancelled() => {}
                    () = tokio::time::sleep(heartbeat) => {
                        self.reports.push(BotReport::Heartbeat { media: self.counters.get() });
                    }
                }
                continue;
            }
            let problem = match self.send(&sent).await {
                Ok(seq) if self.reports.queue().acknowledged(seq, &sent) => {
                    wait = FIRST_WAIT;
                    continue;
                }
                Ok(seq) => format!("it has applied nothing after report {seq}"),
                Err(Refusal::Superseded) => {
                    self.superseded.cancel();
                    return;
                }
                Err(Refusal::Unreadable) => {
                    let media = self.counters.get();
                    let next = self.reports.queue().unreadable(&sent, media);
                    match next {
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
            self.address.is_away();
            tokio::time::sleep(wait).await;
            // Soon enough to be heard within what is left of the lease.
            wait = (wait * 2).min(heartbeat);
        }
    }

    /// Sends reports; answers up to which number all are applied.
    async fn send(&self, reports: &[NumberedReport]) -> Result<u64, Refusal> {
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: reports.to_vec(),
        };
        let url = self.address.url().await.ok_or(Refusal::Superseded)?;
        let url =
            format!("{url}/api/v1/ingest?jobId={}&epoch={}", self.order.job_id, self.order.epoch);
        let away = |error: reqwest::Error| Refusal::Away(error.without_url().to_string());
        let sent = self
            .client
            .post(url)
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
