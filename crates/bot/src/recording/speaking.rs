//! Spans of speech, from the lines of the journal. Pure.

use std::collections::HashMap;

use meetbot_types::manifest::SpeakingSpan;

/// The spans of speech of all people.
#[derive(Debug, Default)]
pub(crate) struct Speaking {
    /// Ids of the speakers, in the order of their first speech.
    ids: Vec<String>,
    /// The index of each speaker in it.
    places: HashMap<String, usize>,
    /// The total speech of each of them, in ms.
    totals: Vec<u64>,
    spans: Vec<Spoken>,
    /// The number of spans above which some are merged.
    room: usize,
}

/// Ordered by person, then by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spoken {
    place: usize,
    start_ms: u64,
    end_ms: u64,
}

/// How many spans are held in memory at most, besides one for each person: a noisy meeting of a week has millions.
const HELD: usize = 100_000;

impl Speaking {
    pub(crate) fn add(&mut self, id: &str, start_ms: u64, end_ms: u64) {
        if end_ms <= start_ms {
            return;
        }
        let place = self.places.get(id).copied().unwrap_or_else(|| {
            let place = self.totals.len();
            self.places.insert(id.to_owned(), place);
            self.ids.push(id.to_owned());
            self.totals.push(0);
            place
        });
        let total = &mut self.totals[place];
        *total = total.saturating_add(end_ms - start_ms);
        self.spans.push(Spoken { place, start_ms, end_ms });
        if self.spans.len() >= self.room.max(2 * HELD) {
            self.join(HELD);
            self.room = 2 * self.spans.len();
        }
    }

    /// The total speech of a person, in ms.
    pub(crate) fn total_ms(&self, id: &str) -> u64 {
        self.places.get(id).map_or(0, |place| self.totals[*place])
    }

    /// The spans in the order of their starts, `most` of them at most, but at least one for each speaker.
    pub(crate) fn spans(mut self, most: usize) -> Vec<SpeakingSpan> {
        self.join(most);
        self.spans.sort_unstable_by_key(|span| (span.start_ms, span.end_ms, span.place));
        let named = |span: &Spoken| SpeakingSpan {
            participant_id: self.ids[span.place].clone(),
            start_ms: span.start_ms,
            end_ms: span.end_ms,
        };
        self.spans.iter().map(named).collect()
    }

    /// Merges spans that overlap or touch; then, if there are still more than `most`, those with the shortest pauses between them.
    fn join(&mut self, most: usize) {
        self.spans.sort_unstable();
        self.join_where(|_, pause_ms| pause_ms == 0);
        let Some(excess) = self.spans.len().checked_sub(most).filter(|excess| *excess > 0) else {
            return;
        };
        let pairs = self.spans.windows(2).enumerate();
        let mut pauses: Vec<(u64, usize)> = pairs
            .filter(|(_, pair)| pair[0].place == pair[1].place)
            .map(|(at, pair)| (pair[1].start_ms - pair[0].end_ms, at + 1))
            .collect();
        pauses.sort_unstable();
        pauses.truncate(excess);
        let mut joined = vec![false; self.spans.len()];
        for (_, at) in pauses {
            joined[at] = true;
        }
        self.join_where(|at, _| joined[at]);
    }

    /// Merges each span with the same person's previous one if `joins` returns true for its index and the pause before it.
    fn join_where(&mut self, joins: impl Fn(usize, u64) -> bool) {
        let mut kept: Vec<Spoken> = Vec::new();
        for (at, span) in self.spans.iter().enumerate() {
            match kept.last_mut().filter(|before| before.place == span.place) {
                Some(before) if joins(at, span.start_ms.saturating_sub(before.end_ms)) => {
                    before.end_ms = before.end_ms.max(span.end_ms);
                }
                _ => kept.push(*span),
            }
        }
        self.spans = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaking(spans: &[(&str, u64, u64)]) -> Speaking {
        let mut speaking = Speaking::default();
        for (id, start_ms, end_ms) in spans {
            speaking.add(id, *start_ms, *end_ms);
        }
        speaking
    }

    fn tuples(spans: &[SpeakingSpan]) -> Vec<(&str, u64, u64)> {
        spans
            .iter()
            .map(|span| (span.participant_id.as_str(), span.start_ms, span.end_ms))
            .collect()
    }

    #[test]
    fn spans_are_sorted_by_start_and_those_of_one_person_neither_overlap_nor_touch() {
        let lines = [
            ("b", 5_000, 6_000),
            ("a", 0, 10_000),
            ("a", 10_000, 12_000),
            ("b", 5_500, 5_600),
            ("a", 20_000, 21_000),
            ("b", 4_000, 4_500),
            ("a", 9, 7),
            ("a", 9, 9),
        ];
        let spans = speaking(&lines).spans(100);
        let expected =
            [("a", 0, 12_000), ("b", 4_000, 4_500), ("b", 5_000, 6_000), ("a", 20_000, 21_000)];
        assert_eq!(tuples(&spans), expected);
        assert_eq!(speaking(&[]).spans(100), []);
    }

    #[test]
    fn too_many_spans_are_merged_over_the_shortest_pauses() {
        let lines =
            [("a", 0, 10), ("a", 13, 20), ("a", 21, 30), ("b", 0, 10), ("b", 12, 20), ("c", 5, 6)];
        assert_eq!(speaking(&lines).spans(6).len(), 6);
        let spans = speaking(&lines).spans(4);
        assert_eq!(tuples(&spans), [("a", 0, 10), ("b", 0, 20), ("c", 5, 6), ("a", 13, 30)]);
        let spans = speaking(&lines).spans(1);
        assert_eq!(
            tuples(&spans),
            [("b", 0, 20), ("a", 0, 30), ("c", 5, 6)],
            "each speaker keeps a span"
        );
        assert_eq!(speaking(&lines).total_ms("a"), 26, "merged pauses are not counted as speech");
    }

    #[test]
    fn a_journal_of_a_million_spans_uses_bounded_memory_and_keeps_every_end() {
        let mut speaking = Speaking::default();
        for number in 0..1_000_000_u64 {
            speaking.add(
                if number % 2 == 0 { "a" } else { "b" },
                number * 1_000,
                number * 1_000 + 400,
            );
            assert!(speaking.spans.len() < 2 * HELD);
        }
        let spans = speaking.spans(20_000);
        assert_eq!(spans.len(), 20_000);
        assert_eq!((spans[0].start_ms, spans[1].start_ms), (0, 1_000));
        assert_eq!(spans.iter().map(|span| span.end_ms).max(), Some(999_999_400));
        assert!(spans.is_sorted_by_key(|span| span.start_ms));
    }
}
