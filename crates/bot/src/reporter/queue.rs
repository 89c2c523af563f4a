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

use super::kept::Kept;
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
    /// Those before them, which are acknowledged.
    kept: Kept,
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

/// What the number that an answer acknowledges means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is applied than before.
    Made,
    /// Nothing is.
    Nothing,
    /// The orchestrator has forgotten reports that it had acknowledged: they are sent again.
    Back,
    /// It has forgotten reports that are no longer here: it cannot apply any later one.
    Lost,
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
            kept: Kept::default(),
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

    /// The orchestrator has applied the reports up to this number, and no later one than the last of those `sent`. One request follows the other, and what it
    /// applies of an earlier one it acknowledges in a later answer too: a number below that of an earlier answer means that its database has forgotten reports.
    pub(super) fn acknowledged(
        &mut self,
        seq: u64,
        sent: &[NumberedReport],
        now: Instant,
    ) -> Progress {
        let seq = seq.min(sent.last().map_or(0, |report| report.seq));
        self.at_once = (self.at_once * 2).min(BATCH);
        if sent.first().is_some_and(|first| seq + 1 < first.seq) {
            return self.go_back_to(seq);
        }
        let before = self.reports.len();
        while let Some((report, bytes)) = self.reports.pop_front_if(|(it, _)| it.seq <= seq) {
            self.bytes -= bytes;
            self.kept.push(report, bytes, now);
        }
        if self.reports.len() < before { Progress::Made } else { Progress::Nothing }
    }

    fn go_back_to(&mut self, seq: u64) -> Progress {
        while let Some((report, bytes)) = self.kept.pop_after(seq) {
            self.bytes += bytes;
            self.reports.push_front((report, bytes));
        }
        match self.reports.front() {
            Some((first, _)) if first.seq == seq + 1 => Progress::Back,
            _ => Progress::Lost,
        }
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
mod tests;
