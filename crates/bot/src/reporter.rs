//! Sends reports to the orchestrator, in order, and repeats each until it is acknowledged. Reports wait while the orchestrator is unavailable.

mod kept;
mod queue;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::bot::{
    BotOrder, BotReport, CLAIM_SIGNATURE, IngestAnswer, IngestRequest, NumberedReport,
};
use reqwest::{Client, StatusCode};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::queue::{Next, Progress, Queue};
use crate::{
    clock,
    connect::{Address, Connect},
    recording::Counters,
    refusal::{self, Refusal},
};

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The first wait between tries while the orchestrator is unavailable; the longest is a heartbeat.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How long a bot that stops tries to send its last reports.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The handle through which a bot reports.
pub(crate) struct Reporter {
    reports: Arc<Reports>,
    /// Nothing more is reported.
    closed: CancellationToken,
    /// Another attempt has the job: this one must leave and write nothing more.
    pub(crate) superseded: CancellationToken,
    /// Changes when the orchestrator has forgotten something that it had acknowledged.
    pub(crate) forgotten: watch::Receiver<()>,
    sending: JoinHandle<()>,
}

impl Reporter {
    /// Starts to report. `stop` is cancelled if no server answers for too long: bots in processes of their own would not end.
    pub(crate) fn start(
        order: &BotOrder,
        connect: &Connect,
        counters: Counters,
        stop: &CancellationToken,
    ) -> Self {
        let reports =
            Arc::new(Reports { queue: Mutex::new(Queue::new(clock::now())), news: Notify::new() });
        let [closed, superseded] = [(); 2].map(|()| CancellationToken::new());
        let (forgets, forgotten) = watch::channel(());
        let sender = Sender {
            client: connect.http.clone(),
            address: Address::of(order, connect),
            order: order.clone(),
            reports: Arc::clone(&reports),
            counters,
            closed: closed.clone(),
            superseded: superseded.clone(),
            forgets,
            // The others end with their server or worker.
            deserted: connect.orchestrator.is_some().then(|| stop.clone()),
        };
        let sending = tokio::spawn(sender.run().in_current_span());
        Self { reports, closed, superseded, forgotten, sending }
    }

    /// Queues a report.
    pub(crate) fn report(&self, report: BotReport) {
        self.reports.push(report);
    }

    /// Waits until everything is acknowledged; once it is stopped, for [`FLUSH_TIMEOUT`] at most: the journal holds the rest.
    pub(crate) async fn finish(self, stop: &CancellationToken) {
        self.closed.cancel();
        let mut sending = self.sending;
        tokio::select! {
            _ = &mut sending => {}
            () = stop.cancelled() => flush_with_timeout(sending).await,
        }
    }

    /// Waits up to [`FLUSH_TIMEOUT`] until everything is acknowledged, and sends no more after that.
    pub(crate) async fn flush_with_timeout(self) {
        self.closed.cancel();
        flush_with_timeout(self.sending).await;
    }
}

async fn flush_with_timeout(mut sending: JoinHandle<()>) {
    if tokio::time::timeout(FLUSH_TIMEOUT, &mut sending).await.is_err() {
        sending.abort();
    }
}

/// The queue of reports, and its signal.
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
    forgets: watch::Sender<()>,
    /// Stops the bot, if it may end without its server.
    deserted: Option<CancellationToken>,
}

impl Sender {
    async fn run(self) {
        let heartbeat = Duration::from_millis(self.order.heartbeat_ms);
        let mut wait = FIRST_WAIT;
        let mut answered = clock::now();
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
            let answer = self.send(&sent).await;
            if !matches!(answer, Err(Refusal::Unavailable(_))) {
                answered = clock::now();
            }
            let problem = match answer {
                Ok(IngestAnswer { status, acknowledged }) => {
                    let progress =
                        self.reports.queue().acknowledged(acknowledged, &sent, clock::now());
                    match progress {
                        Progress::Made => {
                            wait = FIRST_WAIT;
                            continue;
                        }
                        Progress::Back => {
                            tracing::warn!(job = %self.order.job_id, acknowledged, "the orchestrator has forgotten reports; they are sent again");
                            self.forgets.send_replace(());
                            continue;
                        }
                        Progress::Nothing if !status.is_final() => {
                            format!("it has applied nothing after report {acknowledged}")
                        }
                        // Nothing that this bot reports can be applied any more.
                        Progress::Nothing | Progress::Lost => {
                            tracing::warn!(job = %self.order.job_id, acknowledged, %status, "the orchestrator has forgotten too much of this attempt; the bot leaves");
                            self.superseded.cancel();
                            return;
                        }
                    }
                }
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
                            tracing::warn!(job = %self.order.job_id, seq, kind, "the orchestrator cannot read a report; the report is dropped");
                            continue;
                        }
                        Next::Wait => "it cannot read a report that must not be dropped".to_owned(),
                    }
                }
                Err(Refusal::Unavailable(problem)) => problem,
            };
            tracing::debug!(job = %self.order.job_id, problem, "the orchestrator is unavailable");
            let alone = clock::now().saturating_duration_since(answered);
            if let Some(stop) = &self.deserted
                && alone >= Duration::from_millis(self.order.alone_ms)
            {
                tracing::warn!(job = %self.order.job_id, hours = alone.as_secs() / 3_600, "no server has answered for too long; the bot ends");
                stop.cancel();
                return;
            }
            self.address.use_next();
            tokio::time::sleep(wait).await;
            // Soon enough for the rest of the lease.
            wait = (wait * 2).min(heartbeat);
        }
    }

    /// Sends reports.
    async fn send(&self, reports: &[NumberedReport]) -> Result<IngestAnswer, Refusal> {
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: reports.to_vec(),
        };
        let url = self.address.url().await.ok_or(Refusal::Superseded)?;
        let url =
            format!("{url}/api/v1/ingest?jobId={}&epoch={}", self.order.job_id, self.order.epoch);
        let unavailable =
            |error: reqwest::Error| Refusal::Unavailable(error.without_url().to_string());
        let mut post = self.client.post(url).bearer_auth(self.order.token.expose());
        if let Some(signature) = &self.order.claim_signature {
            post = post.header(CLAIM_SIGNATURE, signature.expose());
        }
        let sent = post.timeout(TIME_LIMIT).json(&request).send();
        let answer = sent.await.map_err(unavailable)?;
        if answer.status() != StatusCode::OK {
            return Err(refusal::read(answer).await);
        }
        answer.json().await.map_err(unavailable)
    }
}
