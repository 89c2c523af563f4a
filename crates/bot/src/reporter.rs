//! Tells the orchestrator what happens, in order, each thing until it is acknowledged. An orchestrator that is away loses nothing.

use std::{collections::VecDeque, time::Duration};

use meetbot_types::bot::{
    BotOrder, BotReport, HEARTBEAT_SECONDS, IngestAnswer, IngestRequest, NumberedReport,
};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{clock, recording::Counters};

/// How many reports go into one request.
const BATCH: usize = 50;
/// How many bytes of them, as JSON, unless one alone has more: half of what the orchestrator reads at once.
const BATCH_BYTES: usize = 512 * 1024;
/// The largest that one report is, as JSON. Its words come from strangers, and one that the orchestrator cannot read would hold up all that come
/// after it.
const REPORT_BYTES: usize = 64 * 1024;
/// How many characters stay of each text of a report that is larger.
const CUT_CHARACTERS: usize = 4096;
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
    queue: mpsc::UnboundedReceiver<BotReport>,
    /// Each with its size as JSON.
    unacknowledged: VecDeque<(NumberedReport, usize)>,
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
                    self.unacknowledged.retain(|(report, _)| report.seq > seq);
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
        let (report, bytes) = cut(report);
        let numbered = NumberedReport { seq: self.last_seq, at: clock::wall(), report };
        self.unacknowledged.push_back((numbered, bytes));
    }

    async fn send(&self) -> Answer {
        let request = IngestRequest {
            job_id: self.order.job_id,
            epoch: self.order.epoch,
            reports: batch(&self.unacknowledged),
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

/// What goes into the next request: at least one, if there is one.
fn batch(reports: &VecDeque<(NumberedReport, usize)>) -> Vec<NumberedReport> {
    let mut room = BATCH_BYTES;
    let fits = |(first, (_, bytes)): &(usize, &(NumberedReport, usize))| {
        let fits = *first == 0 || *bytes <= room;
        room = room.saturating_sub(*bytes);
        fits
    };
    reports
        .iter()
        .take(BATCH)
        .enumerate()
        .take_while(fits)
        .map(|(_, (report, _))| report.clone())
        .collect()
}

/// The report with its size as JSON; with its texts cut where it is too large. The files have them whole.
fn cut(report: BotReport) -> (BotReport, usize) {
    let json = serde_json::to_value(&report).expect("a report is JSON");
    let bytes = json.to_string().len();
    if bytes <= REPORT_BYTES {
        return (report, bytes);
    }
    let cut = cut_texts(json);
    let bytes = cut.to_string().len();
    (serde_json::from_value(cut).unwrap_or(report), bytes)
}

fn cut_texts(json: Value) -> Value {
    match json {
        Value::String(text) => Value::String(text.chars().take(CUT_CHARACTERS).collect()),
        Value::Array(values) => values.into_iter().map(cut_texts).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, cut_texts(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::bot::ChatMessage;

    use super::*;

    fn chat(text: &str) -> BotReport {
        BotReport::Chat {
            message: ChatMessage {
                id: "1".to_owned(),
                sender_id: "p1".to_owned(),
                sender: text.to_owned(),
                text: text.to_owned(),
                private: false,
                at_ms: 0,
            },
        }
    }

    fn queued(reports: impl IntoIterator<Item = BotReport>) -> VecDeque<(NumberedReport, usize)> {
        let numbered = |(seq, report)| {
            let (report, bytes) = cut(report);
            (NumberedReport { seq, at: clock::wall(), report }, bytes)
        };
        (1..).zip(reports).map(numbered).collect()
    }

    #[test]
    fn whatever_strangers_write_the_orchestrator_can_read_every_request() {
        // As long as a report may be, and each character as long as it can be in JSON; longer than any request; and short ones.
        let texts = ["\u{1}".repeat(5_000), "\u{1}".repeat(2_000_000), "hello".to_owned()];
        let mut reports = queued((0..300).map(|number| chat(&texts[number % texts.len()])));
        let mut sent = Vec::new();
        while !reports.is_empty() {
            let batch = batch(&reports);
            assert!(!batch.is_empty() && batch.len() <= BATCH);
            assert!(
                serde_json::to_vec(&batch).unwrap().len() < 1 << 20,
                "what the orchestrator reads at once"
            );
            sent.extend(batch.iter().map(|report| report.seq));
            reports.drain(..batch.len());
        }
        assert_eq!(sent, (1..=300).collect::<Vec<_>>());
    }

    #[test]
    fn a_text_of_a_usual_length_is_reported_whole() {
        let long = "ä".repeat(4_000);
        assert_eq!(cut(chat(&long)).0, chat(&long));
        let BotReport::Chat { message } = cut(chat(&"ä".repeat(40_000))).0 else { panic!() };
        assert_eq!(message.text, "ä".repeat(CUT_CHARACTERS));
    }
}
