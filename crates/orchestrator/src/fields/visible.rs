//! Whether a text shows anything.

use std::{cmp::Ordering, ops::RangeInclusive};

/// Letters that show nothing and are no white space: those that Unicode 16 has as `Default_Ignorable_Code_Point` (zero-width spaces and joiners, marks of direction,
/// fillers of Hangul, variation selectors, tags), and the blanks and other format characters beside them.
const INVISIBLE: &[RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    // The braille pattern without dots.
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    // Interlinear annotation behind the ignorable ones.
    '\u{fff0}'..='\u{fffb}',
    // Blanks of Egyptian hieroglyphs.
    '\u{13441}'..='\u{13442}',
    // The filler of the small Khitan script.
    '\u{16fe4}'..='\u{16fe4}',
    '\u{1bca0}'..='\u{1bca3}',
    // The musical null notehead.
    '\u{1d159}'..='\u{1d159}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// Whether nothing of a text shows: it is empty, or holds only white space, control characters and [`INVISIBLE`] ones.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| letter.is_whitespace() || letter.is_control() || is_invisible(letter))
}

fn is_invisible(letter: char) -> bool {
    let found = INVISIBLE.binary_search_by(|range| match letter {
        _ if letter < *range.start() => Ordering::Greater,
        _ if letter > *range.end() => Ordering::Less,
        _ => Ordering::Equal,
    });
    found.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_is_blank_alone_and_together() {
        let mut all = String::new();
        for letter in "\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{1680}\u{17b4}\u{180e}\u{2003}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{202a}\u{202e}\u{202f}\
            \u{2060}\u{2066}\u{2069}\u{2800}\u{3000}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{1d159}\u{1d173}\u{e0001}\u{e0020}\u{e007f}\u{e0100}\u{e01ef}"
            .chars()
        {
            assert!(is_blank(&letter.to_string()), "U+{:04X}", u32::from(letter));
            all.push(letter);
        }
        assert!(is_blank(&all) && is_blank(""));
        assert!(!is_blank(&format!("{all}.{all}")));
    }

    #[test]
    fn what_shows_is_not_blank() {
        for text in [
            "a",
            "é",
            "ノ",
            "한",
            "।",
            "❤\u{fe0f}",
            "👨\u{200d}👩",
            "🏴\u{e0067}\u{e007f}",
            "\u{301}",
            "\u{1f3fb}",
            "-",
            "\u{2801}",
        ] {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn the_ranges_are_in_order() {
        assert!(INVISIBLE.windows(2).all(|pair| pair[0].end() < pair[1].start()));
    }
}
