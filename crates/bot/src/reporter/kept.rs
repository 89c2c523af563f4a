//! Reports that are acknowledged, kept for a while: a server whose database continues on a replica may have forgotten them. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use meetbot_types::bot::NumberedReport;

/// For how long a report is kept, counted back from the last acknowledgement: while no server answers, none is dropped. Asynchronous replicas are behind by less.
const KEPT_FOR: Duration = Duration::from_mins(2);
/// How much memory the kept reports of a bot take at most. Two minutes of heartbeats take less than 9 kB; the rest is for people who join, and for chat.
const MOST_BYTES: usize = 128 * 1024;
/// The memory of a report, apart from its texts.
const REPORT: usize = size_of::<Entry>();

/// A report with its size as JSON, and when it was acknowledged.
type Entry = (NumberedReport, usize, Instant);

/// The last acknowledged reports, in order and without gaps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    reports: VecDeque<Entry>,
    bytes: usize,
}

impl Kept {
    /// Keeps a report that is acknowledged now, and drops those that are too old or too many.
    pub(super) fn push(&mut self, report: NumberedReport, bytes: usize, now: Instant) {
        self.bytes += bytes + REPORT;
        self.reports.push_back((report, bytes, now));
        while self.reports.front().is_some_and(|(_, _, at)| *at + KEPT_FOR < now)
            || self.bytes > MOST_BYTES
        {
            let Some((_, bytes, _)) = self.reports.pop_front() else { break };
            self.bytes -= bytes + REPORT;
        }
    }

    /// Takes the last one back, if its number is higher than `seq`.
    pub(super) fn pop_after(&mut self, seq: u64) -> Option<(NumberedReport, usize)> {
        let (report, bytes, _) = self.reports.pop_back_if(|(report, ..)| report.seq > seq)?;
        self.bytes -= bytes + REPORT;
        Some((report, bytes))
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::{
        Timestamp,
        bot::{BotReport, MediaCounters},
    };

    use super::*;
    use crate::clock;

    fn numbered(seq: u64) -> NumberedReport {
        let report = BotReport::Heartbeat { media: MediaCounters::default() };
        NumberedReport { seq, at: Timestamp::UNIX_EPOCH, report }
    }

    /// The numbers of all that are kept.
    fn numbers(mut kept: Kept) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            std::iter::from_fn(|| kept.pop_after(0)).map(|(report, _)| report.seq).collect();
        assert_eq!(kept.bytes, 0);
        numbers.reverse();
        numbers
    }

    #[test]
    fn reports_are_kept_for_two_minutes_before_the_last_acknowledgement() {
        let start = clock::now();
        let mut kept = Kept::default();
        for seq in 1..=100 {
            let media = MediaCounters { packets_received: u64::MAX, ..MediaCounters::default() };
            let report = NumberedReport { report: BotReport::Heartbeat { media }, ..numbered(seq) };
            let bytes = serde_json::to_vec(&report.report).unwrap().len();
            kept.push(report, bytes, start + Duration::from_secs(5 * seq));
        }
        assert!(kept.bytes < 9_000, "{}", kept.bytes);
        assert_eq!(numbers(kept), (76..=100).collect::<Vec<_>>());
    }

    #[test]
    fn the_memory_of_kept_reports_is_bounded() {
        let now = clock::now();
        let mut kept = Kept::default();
        for seq in 1..=10_000 {
            kept.push(numbered(seq), usize::try_from(seq % 1_000).unwrap(), now);
            assert!(kept.bytes <= MOST_BYTES);
        }
        let numbers = numbers(kept);
        assert!(numbers.len() > 100, "{}", numbers.len());
        assert_eq!(numbers, (numbers[0]..=10_000).collect::<Vec<_>>());
    }
}
