//! The queue of reports that are not acknowledged yet: which are dropped, which are sent next, and how unreadable ones are handled. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use meetbot_types::{
    Timestamp,
    bot::{BotReport, MediaCounters, NumberedReport},
};
use serde_json::Value;

use crate::bounds::{self, Allowance};

/// How many reports go into one request.
const BATCH: usize = 50;
/// How many bytes of JSON go into one request, unless one report has more: half of the orchestrator's limit.
const BATCH_BYTES: usize = 512 * 1024;
/// The largest size of one report, as JSON. Its texts are untrusted, and a report above the orchestrator's limit would be
/// refused.
const REPORT_BYTES: usize = 64 * 1024;
/// How many characters of each text are kept in a report that is larger.
const CUT_CHARACTERS: usize = 4096;

/// The shortest time between two reports of dropped reports, before the end.
const LEFT_OUT_EVERY: Duration = Duration::from_mins(1);

/// Reports in order.
#[derive(Debug)]
pub(super) struct Queue {
    /// Each report with its size as JSON.
    reports: VecDeque<(NumberedReport, usize)>,
    /// The sum of their sizes.
    bytes: usize,
    last_seq: u64,
    /// The reports up to this number were sent, and must not change.
    sent_seq: u64,
    /// How many go into the next request: fewer than [`BATCH`] while the queue searches for an unreadable report.
    at_once: usize,
    /// The rate limit of reports of chat and of people who join and leave.
    allowance: Allowance,
    /// What was dropped, and since when.
    left_out: Option<(LeftOut, Instant)>,
}

/// How much was not reported: only the files hold it.
#[derive(Debug, Default)]
struct LeftOut {
    messages: u64,
    participant_events: u64,
}

/// The next step when the orchestrator cannot read a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send a smaller request, to find the unreadable report.
    Smaller,
    /// This report was unreadable, and is dropped.
    LeftOut { seq: u64, kind: String },
    /// This report was unreadable, but must not be dropped: send it again later.
    Wait,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            reports: VecDeque::new(),
            bytes: 0,
            last_seq: 0,
            sent_seq: 0,
            at_once: BATCH,
            allowance: Allowance::new(bounds::REPORTS, now),
            left_out: None,
        }
    }

    /// Adds a report of `at`. Chat, and people who join and leave, are bounded: reports beyond the bounds are counted instead, and the count is reported.
    pub(super) fn push(&mut self, report: BotReport, at: Timestamp, now: Instant) {
        let fits = self.has_room_for(&report, now);
        if !fits {
            let (left_out, _) = self.left_out.get_or_insert((LeftOut::default(), now));
            match report {
                BotReport::Chat { .. } => left_out.messages += 1,
                _ => left_out.participant_events += 1,
            }
        }
        let ends = matches!(report, BotReport::Leaving { .. } | BotReport::Ended { .. });
        let due = |(_, since): &mut (LeftOut, Instant)| ends || now >= *since + LEFT_OUT_EVERY;
        if let Some((LeftOut { messages, participant_events }, _)) = self.left_out.take_if(due) {
            self.add(BotReport::LeftOut { messages, participant_events }, at);
        }
        if fits && !self.merges_into_last(&report) {
            self.add(report, at);
        }
    }

    fn has_room_for(&mut self, report: &BotReport, now: Instant) -> bool {
        let most_bytes = match report {
            BotReport::Chat { .. } => bounds::WAITING_CHAT_BYTES,
            BotReport::ParticipantJoined { .. }
            | BotReport::ParticipantRenamed { .. }
            | BotReport::ParticipantLeft { .. } => bounds::WAITING_BYTES,
            _ => return true,
        };
        self.bytes <= most_bytes && self.allowance.take(1, now)
    }

    /// Merges a report into the last one, if that is of the same kind and was not sent yet. Returns whether it did.
    fn merges_into_last(&mut self, report: &BotReport) -> bool {
        let last = self.reports.back_mut().map(|(last, _)| last);
        let Some(last) = last.filter(|last| last.seq > self.sent_seq) else { return false };
        match (&mut last.report, report) {
            (
                BotReport::Withheld { messages, captions },
                BotReport::Withheld { messages: more_messages, captions: more_captions },
            ) => {
                *messages += more_messages;
                *captions += more_captions;
                true
            }
            (BotReport::Waiting { lobby }, BotReport::Waiting { lobby: now }) => {
                lobby.clone_from(now);
                true
            }
            _ => false,
        }
    }

    fn add(&mut self, report: BotReport, at: Timestamp) {
        self.last_seq += 1;
        let (report, bytes) = cut(report);
        self.bytes += bytes;
        self.reports.push_back((NumberedReport { seq: self.last_seq, at, report }, bytes));
    }

    /// The reports of the next request: at least one, if there is one.
    pub(super) fn batch(&mut self) -> Vec<NumberedReport> {
        let mut room = BATCH_BYTES;
        let fits = |(first, (_, bytes)): &(usize, &(NumberedReport, usize))| {
            let fits = *first == 0 || *bytes <= room;
            room = room.saturating_sub(*bytes);
            fits
        };
        let batch: Vec<_> = self
            .reports
            .iter()
            .take(self.at_once)
            .enumerate()
            .take_while(fits)
            .map(|(_, (report, _))| report.clone())
            .collect();
        self.sent_seq = batch.last().map_or(self.sent_seq, |last| self.sent_seq.max(last.seq));
        batch
    }

    /// The orchestrator has applied the reports up to this number of those `sent`. Returns whether that is progress.
    pub(super) fn acknowledged(&mut self, seq: u64, sent: &[NumberedReport]) -> bool {
        let before = self.reports.len();
        let seq = seq.min(sent.last().map_or(0, |report| report.seq));
        while let Some((_, bytes)) = self.reports.pop_front_if(|(report, _)| report.seq <= seq) {
            self.bytes -= bytes;
        }
        self.at_once = (self.at_once * 2).min(BATCH);
        self.reports.len() < before
    }

    /// The orchestrator, perhaps of another version, cannot read the reports `sent`. A heartbeat replaces an unreadable report, so that
    /// the numbers have no gaps.
    pub(super) fn unreadable(&mut self, sent: &[NumberedReport], media: MediaCounters) -> Next {
        if sent.len() > 1 {
            self.at_once = sent.len() / 2;
            return Next::Smaller;
        }
        match self.reports.front_mut() {
            // Without its end the job would be tried again. And an orchestrator that cannot read a heartbeat can read nothing.
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
                self.bytes -= *bytes;
                (report.report, *bytes) = cut(BotReport::Heartbeat { media });
                self.bytes += *bytes;
                Next::LeftOut { seq: report.seq, kind }
            }
        }
    }
}

/// The report with its size as JSON; the texts of a report that is too large are truncated. The files hold them in full.
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
    use meetbot_types::{
        Cause, LeaveReason,
        bot::{ChatMessage, Lobby, Participant},
    };

    use super::*;
    use crate::clock;

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
        let now = clock::now();
        let mut queue = Queue::new(now);
        reports.into_iter().for_each(|report| queue.push(report, Timestamp::UNIX_EPOCH, now));
        queue
    }

    fn ended() -> BotReport {
        let ending = Cause::Left(LeaveReason::MeetingEnded).ending(true, false);
        BotReport::Ended {
            ending,
            manifest_uri: None,
            duration_ms: 0,
            paused_ms: 0,
            consent_revoked: false,
        }
    }

    /// Sends all to an orchestrator that cannot read reports for which `unreadable` is true. Returns the applied reports and the number of requests.
    fn play(queue: &mut Queue, unreadable: fn(&BotReport) -> bool) -> (Vec<BotReport>, usize) {
        let (mut applied, mut requests) = (Vec::new(), 0);
        let mut last = queue.batch()[0].seq - 1;
        while !queue.reports.is_empty() {
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
    fn only_the_unreadable_report_is_dropped() {
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
    fn each_of_many_unreadable_reports_costs_three_requests() {
        let mut queue = queued((0..200).map(|_| chat("new")).chain([ended()]));
        let (applied, requests) =
            play(&mut queue, |report| matches!(report, BotReport::Chat { .. }));
        assert_eq!((applied.len(), applied.last()), (201, Some(&ended())));
        assert!(requests <= 610, "{requests} requests");
    }

    #[test]
    fn the_end_and_heartbeats_are_kept_until_they_are_acknowledged() {
        let mut queue = queued([chat("a"), BotReport::Admitted, ended()]);
        let (applied, _) = play(&mut queue, |report| matches!(report, BotReport::Ended { .. }));
        assert_eq!(applied, [chat("a"), BotReport::Admitted], "the reports before it are applied");
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
    fn an_acknowledgement_counts_only_for_sent_reports() {
        let mut queue = queued((0..60).map(|_| BotReport::Admitted));
        let sent = queue.batch();
        assert!(!queue.acknowledged(0, &sent), "nothing was applied");
        assert!(queue.acknowledged(u64::MAX, &sent));
        assert_eq!(queue.batch()[0].seq, sent.len() as u64 + 1);
    }

    #[test]
    fn no_text_of_a_meeting_makes_a_request_too_large() {
        // Texts of the maximum size whose characters are longest in JSON, texts longer than any request, and short ones.
        let texts = ["\u{1}".repeat(5_000), "\u{1}".repeat(2_000_000), "hello".to_owned()];
        let mut reports = queued([]);
        let mut sent = Vec::new();
        for number in 0..300 {
            let report = chat(&texts[number % texts.len()]);
            reports.push(report, Timestamp::UNIX_EPOCH, clock::now());
            if number % 10 < 9 {
                continue;
            }
            while !reports.reports.is_empty() {
                let batch = reports.batch();
                assert!(!batch.is_empty() && batch.len() <= BATCH);
                assert!(
                    serde_json::to_vec(&batch).unwrap().len() < 1 << 20,
                    "what the orchestrator reads at once"
                );
                sent.extend(batch.iter().map(|report| report.seq));
                reports.acknowledged(batch.last().unwrap().seq, &batch);
            }
        }
        assert_eq!(sent, (1..=300).collect::<Vec<_>>());
    }

    #[test]
    fn a_text_of_usual_length_is_reported_in_full() {
        let long = "ä".repeat(4_000);
        assert_eq!(cut(chat(&long)).0, chat(&long));
        let BotReport::Chat { message } = cut(chat(&"ä".repeat(40_000))).0 else { panic!() };
        assert_eq!(message.text, "ä".repeat(CUT_CHARACTERS));
    }

    fn joined(name: &str) -> BotReport {
        let (id, name) = ("p1".to_owned(), name.to_owned());
        let participant = Participant { id, name, is_host: false, is_bot: false };
        BotReport::ParticipantJoined { participant }
    }

    /// Everything in the queue, in order.
    fn drain(queue: &mut Queue) -> Vec<BotReport> {
        let mut all = Vec::new();
        while !queue.reports.is_empty() {
            let batch = queue.batch();
            all.extend(batch.iter().map(|one| one.report.clone()));
            queue.acknowledged(u64::MAX, &batch);
        }
        all
    }

    #[test]
    fn a_flood_is_reported_in_part_and_the_dropped_reports_are_counted() {
        let start = clock::now();
        let mut queue = Queue::new(start);
        let mut push = |report, seconds| {
            let now = start + Duration::from_secs(seconds);
            queue.push(report, Timestamp::UNIX_EPOCH, now);
            drain(&mut queue)
        };
        let mut reported = 0;
        for number in 0..3_000 {
            let report = if number % 2 == 0 { chat("hello") } else { joined("Ann") };
            reported += push(report, 0).len();
        }
        assert_eq!(reported, 1_000);
        let left_out = BotReport::LeftOut { messages: 1_000, participant_events: 1_000 };
        assert_eq!(push(BotReport::Admitted, 59), [BotReport::Admitted], "a minute is not over");
        assert_eq!(push(BotReport::Admitted, 60), [left_out, BotReport::Admitted]);
        assert_eq!(push(chat("again"), 61), [chat("again")], "and they are reported again");
        for _ in 0..1_000 {
            push(chat("hello"), 61);
        }
        let leaving = BotReport::Leaving { reason: None, failure: None };
        let before_the_end = push(leaving.clone(), 62);
        assert_eq!(before_the_end.len(), 2, "{before_the_end:?}");
        assert!(matches!(before_the_end[0], BotReport::LeftOut { participant_events: 0, .. }));
        assert_eq!(before_the_end[1], leaving);
    }

    #[test]
    fn the_queue_is_bounded_while_the_orchestrator_is_unavailable_and_keeps_the_course_of_the_job()
    {
        let start = clock::now();
        let mut queue = Queue::new(start);
        let text = "a".repeat(10_000);
        for second in 0..20_000 {
            let now = start + Duration::from_millis(second * 100);
            let mut push = |report| queue.push(report, Timestamp::UNIX_EPOCH, now);
            push(chat(&text));
            push(joined(&text[..200]));
            if second % 100 == 0 {
                push(BotReport::Reconnecting);
            }
        }
        queue.push(ended(), Timestamp::UNIX_EPOCH, start);
        assert!(queue.bytes < 1 << 20, "{} bytes", queue.bytes);
        let all = drain(&mut queue);
        assert_eq!(queue.bytes, 0);
        let count = |is: fn(&BotReport) -> bool| all.iter().filter(|one| is(one)).count() as u64;
        assert_eq!(count(|one| matches!(one, BotReport::Reconnecting)), 200);
        assert_eq!(all.last(), Some(&ended()));
        let messages = count(|one| matches!(one, BotReport::Chat { .. }));
        let events = count(|one| matches!(one, BotReport::ParticipantJoined { .. }));
        assert!(messages < events, "chat is left out first: {messages} {events}");
        let left_out = all.iter().fold((0, 0), |(all_messages, all_events), one| match one {
            BotReport::LeftOut { messages, participant_events } => {
                (all_messages + messages, all_events + participant_events)
            }
            _ => (all_messages, all_events),
        });
        assert_eq!(left_out, (20_000 - messages, 20_000 - events));
    }

    #[test]
    fn repeated_reports_of_a_kind_are_merged_until_they_are_sent() {
        let withheld = |messages| BotReport::Withheld { messages, captions: 1 };
        let waiting = |lobby| BotReport::Waiting { lobby };
        let mut queue = queued([
            waiting(Lobby::WaitingRoom),
            waiting(Lobby::WaitingForHost),
            withheld(1),
            withheld(2),
        ]);
        let sent = queue.batch();
        queue.push(withheld(4), Timestamp::UNIX_EPOCH, clock::now());
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert_eq!(queue.batch()[..2], sent, "reports that may have been applied do not change");
        let expected = [
            waiting(Lobby::WaitingForHost),
            BotReport::Withheld { messages: 3, captions: 2 },
            withheld(4),
        ];
        assert_eq!(drain(&mut queue), expected);
    }
}
