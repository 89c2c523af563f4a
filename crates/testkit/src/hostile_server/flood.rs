//! The kinds of floods, and their bounds.

use std::time::Duration;

use super::Trap;

/// A flood with its bounds. It ends at the first bound that is reached, and the meeting ends with it.
#[derive(Debug, Clone)]
pub struct Flood {
    /// The kind of its messages.
    pub kind: Kind,
    /// How many messages are sent, over all joins.
    pub count: u32,
    /// How long it lasts, from the first bot that it meets.
    pub time: Duration,
    /// Decides names and sizes.
    pub seed: u64,
}

/// The messages of a flood.
#[derive(Debug, Clone)]
pub enum Kind {
    /// People who come and stay, a few hundred in a message where the protocol allows it.
    Joins,
    /// People who come and go, all under a few names.
    Leaves,
    /// Fifty people who change their names.
    Renames,
    /// Names, ids, messages and captions of hundreds of kilobytes each.
    Texts,
    /// Remote candidates: those of the trap, one by one and in descriptions, and names (mDNS).
    Candidates(Trap),
    /// People, known and unknown, who begin and end to talk; captions where the protocol does not say who talks.
    Talking,
    /// Lines of chat; on the data channel where the protocol has one.
    Lines,
    /// Session descriptions, again and again, small and large.
    Renegotiations,
}

impl Kind {
    /// The display name of the bot that gets this flood from a hostile sandbox.
    pub fn victim(&self) -> String {
        format!("victim of {}", self.name())
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Joins => "joins",
            Self::Leaves => "leaves",
            Self::Renames => "renames",
            Self::Texts => "texts",
            Self::Candidates(_) => "candidates",
            Self::Talking => "talking",
            Self::Lines => "lines",
            Self::Renegotiations => "renegotiations",
        }
    }
}

/// Numbers that a seed decides (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct SeededRandom(u64);

impl SeededRandom {
    /// Those for the `number`th thing of a flood.
    pub(super) const fn of(flood: &Flood, number: u32) -> Self {
        Self(flood.seed.wrapping_add((number as u64) << 20))
    }

    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A text of up to so many bytes, most of which are the same character.
    pub(super) fn text(&mut self, most: u64) -> String {
        let piece = self.one_of(&["x", "é", "💩", "\u{202e}", "\u{1}", "<b>", "a b"]);
        let bytes = usize::try_from(most / 2 + self.below(most / 2)).unwrap_or(0);
        piece.repeat(bytes / piece.len())
    }

    pub(super) fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        let word = usize::try_from(self.below(words.len() as u64)).unwrap_or(0);
        words[word]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_a_flood_and_texts_have_the_requested_size() {
        let flood = Flood { kind: Kind::Texts, count: 1, time: Duration::from_secs(1), seed: 7 };
        for number in 0..100 {
            let text = SeededRandom::of(&flood, number).text(10_000);
            assert_eq!(text, SeededRandom::of(&flood, number).text(10_000));
            assert!((4_990..10_000).contains(&text.len()), "{}", text.len());
        }
        assert_ne!(
            SeededRandom::of(&flood, 1).below(1 << 40),
            SeededRandom::of(&flood, 2).below(1 << 40)
        );
    }
}
