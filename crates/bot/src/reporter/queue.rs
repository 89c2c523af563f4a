//! The reports that are not acknowledged yet: what is sent next, and what becomes of those that the orchestrator cannot read. Pure.

use std::collections::VecDeque;

use meetbot_types::{
    Timestamp,
    bot::{BotReport, MediaCounters, NumberedReport},
};
use serde_json::Value;

/// How many reports go into one request.
const BATCH: usize = 50;
/// How many bytes of them, as JSON, unless one alone has more: half of what the orchestrator reads at once.
const BATCH_BYTES: usize = 512 * 1024;
/// The largest that one report is, as JSON. Its words come from strangers, and one that is larger than what the orchestrator reads at once would be
/// refused.
const REPORT_BYTES: usize = 64 * 1024;
/// How many characters stay of each text of a report that is larger.
const CUT_CHARACTERS: usize = 4096;

/// Reports in their order.
#[derive(Debug)]
pub(super) struct Queue {
    /// Each with its size as JSON.
    reports: VecDeque<(NumberedReport, usize)>,
    last_seq: u64,
    /// How many go into the next request: fewer than [`BATCH`] while one is searched that the orchestrator cannot read.
    at_once: usize,
}

/// What follows when the orchestrator cannot read a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A smaller one shows which report it is.
    Smaller,
    /// This one it was, and it is left out.
    LeftOut { seq: u64, kind: String },
    /// This one it was, and it has to be heard: the same again, later.
    Wait,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { reports: VecDeque::new(), last_seq: 0, at_once: BATCH }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    pub(super) fn push(&mut self, report: BotReport, at: Timestamp) {
        self.last_seq += 1;
        let (report, bytes) = cut(report);
        self.reports.push_back((NumberedReport { seq: self.last_seq, at, report }, bytes));
    }

    /// What goes into the next request: at least one, if there is one.
    pub(super) fn batch(&self) -> Vec<NumberedReport> {
        let mut room = BATCH_BYTES;
        let fits = |(first, (_, bytes)): &(usize, &(NumberedReport, usize))| {
            let fits = *first == 0 || *bytes <= room;
            room = room.saturating_sub(*bytes);
            fits
        };
        self.reports
            .iter()
            .take(self.at_once)
            .enumerate()
            .take_while(fits)
            .map(|(_, (report, _))| report.clone())
            .collect()
    }

    /// The orchestrator has applied everything up to this number of what it was `sent`. Answers whether that is news.
    pub(super) fn acknowledged(&mut self, seq: u64, sent: &[NumberedReport]) -> bool {
        let before = self.reports.len();
        let seq = seq.min(sent.last().map_or(0, |report| report.seq));
        self.reports.retain(|(report, _)| report.seq > seq);
        self.at_once = (self.at_once * 2).min(BATCH);
        self.reports.len() < before
    }

    /// The orchestrator, perhaps one of another version, cannot read what it was `sent`. A report that it cannot read becomes a sign of life, so that
    /// the numbers stay without holes.
    pub(super) fn unreadable(&mut self, sent: &[NumberedReport], media: MediaCounters) -> Next {
        if sent.len() > 1 {
            self.at_once = sent.len() / 2;
            return Next::Smaller;
        }
        match self.reports.front_mut() {
            // Without its end the job would begin anew. And an orchestrator that reads no sign of life reads nothing.
            None
            | Some((
                NumberedReport {
                    report: BotReport::Ended { .. } | BotReport::Heartbeat { .. },
                    ..
                },
                _,
            )) => Next::Wait,
            Some((report, bytes)) => {
                let kind = report.report.kind();
                (report.report, *bytes) = cut(BotReport::Heartbeat { media });
                Next::LeftOut { seq: report.seq, kind }
            }
        }
    }
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
    use meetbot_types::{Cause, LeaveReason, bot::ChatMessage};

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

    fn queued(reports: impl IntoIterator<Item = BotReport>) -> Queue {
        let mut queue = Queue::new();
        reports.into_iter().for_each(|report| queue.push(report, Timestamp::UNIX_EPOCH));
        queue
    }

    fn ended() -> BotReport {
        let ending = Cause::Left(LeaveReason::MeetingEnded).ending(true, false);
        BotReport::Ended { ending, manifest_uri: None, duration_ms: 0, paused_ms: 0 }
    }

    /// Sends all to an orchestrator that cannot read reports of which `unreadable` is true. Answers what it applied and how many requests that took.
    fn play(queue: &mut Queue, unreadable: fn(&BotReport) -> bool) -> (Vec<BotReport>, usize) {
        let (mut applied, mut requests) = (Vec::new(), 0);
        let mut last = queue.batch()[0].seq - 1;
        while !queue.is_empty() {
            requests += 1;
            let sent = queue.batch();
            assert_eq!(sent[0].seq, last + 1, "without holes");
            if sent.iter().any(|one| unreadable(&one.report)) {
                if queue.unreadable(&sent, MediaCounters::default()) == Next::Wait {
                    break;
                }
                continue;
            }
            last = sent.last().unwrap().seq;
            applied.extend(sent.iter().map(|one| one.report.clone()));
            assert!(queue.acknowledged(last, &sent));
        }
        (applied, requests)
    }

    #[test]
    fn a_report_that_cannot_be_read_is_left_out_alone() {
        for bad in [0, 1, 17, 49, 50, 99] {
            let reports = (0..100)
                .map(|number| if number == bad { chat("new") } else { BotReport::Admitted });
            let mut queue = queued(reports.chain([ended()]));
            let (applied, requests) =
                play(&mut queue, |report| matches!(report, BotReport::Chat { .. }));
            assert_eq!(applied.len(), 101);
            let left_out: Vec<_> = (0..)
                .zip(&applied)
                .filter(|(_, report)| matches!(report, BotReport::Heartbeat { .. }))
                .map(|(number, _)| number)
                .collect();
            assert_eq!(left_out, [bad]);
            assert_eq!(applied.last(), Some(&ended()));
            assert!(requests <= 30, "{requests} requests");
        }
    }

    #[test]
    fn a_flood_of_reports_that_cannot_be_read_costs_three_requests_each() {
        let mut queue = queued((0..200).map(|_| chat("new")).chain([ended()]));
        let (applied, requests) =
            play(&mut queue, |report| matches!(report, BotReport::Chat { .. }));
        assert_eq!((applied.len(), applied.last()), (201, Some(&ended())));
        assert!(requests <= 610, "{requests} requests");
    }

    #[test]
    fn the_end_and_signs_of_life_are_kept_until_they_are_heard() {
        let mut queue = queued([chat("a"), BotReport::Admitted, ended()]);
        let (applied, _) = play(&mut queue, |report| matches!(report, BotReport::Ended { .. }));
        assert_eq!(applied, [chat("a"), BotReport::Admitted], "what came before is heard");
        assert_eq!(queue.batch()[0].report, ended());
        // An orchestrator that can read it again.
        let (applied, _) = play(&mut queue, |_| false);
        assert_eq!(applied, [ended()]);

        let mut queue = queued([chat("a"), ended()]);
        let (applied, _) = play(&mut queue, |_| true);
        assert_eq!(applied, []);
        let (applied, _) = play(&mut queue, |_| false);
        assert_eq!((applied.len(), applied.last()), (2, Some(&ended())));
    }

    #[test]
    fn an_acknowledgement_counts_for_what_was_sent_only() {
        let mut queue = queued((0..60).map(|_| BotReport::Admitted));
        let sent = queue.batch();
        assert!(!queue.acknowledged(0, &sent), "nothing was applied");
        assert!(queue.acknowledged(u64::MAX, &sent));
        assert_eq!(queue.batch()[0].seq, sent.len() as u64 + 1);
    }

    #[test]
    fn whatever_strangers_write_the_orchestrator_can_read_every_request() {
        // As long as a report may be, and each character as long as it can be in JSON; longer than any request; and short ones.
        let texts = ["\u{1}".repeat(5_000), "\u{1}".repeat(2_000_000), "hello".to_owned()];
        let mut reports = queued((0..300).map(|number| chat(&texts[number % texts.len()])));
        let mut sent = Vec::new();
        while !reports.is_empty() {
            let batch = reports.batch();
            assert!(!batch.is_empty() && batch.len() <= BATCH);
            assert!(
                serde_json::to_vec(&batch).unwrap().len() < 1 << 20,
                "what the orchestrator reads at once"
            );
            sent.extend(batch.iter().map(|report| report.seq));
            reports.acknowledged(batch.last().unwrap().seq, &batch);
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
