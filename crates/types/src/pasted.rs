//! Cleans keys and secrets that people paste or keep in files.

use std::fmt;

/// The byte order mark, with which some editors begin a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A text without what files and editors add at its ends: white space, and a byte order mark.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || letter == BYTE_ORDER_MARK)
}

/// A character that no key and no secret has and that mostly does not show: one beyond ASCII, or a control character other than white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCharacter {
    letter: char,
    /// From 1.
    place: usize,
}

impl InvalidCharacter {
    /// The first one in a text.
    pub fn within(text: &str) -> Option<Self> {
        let is_strange = |letter: &char| {
            !letter.is_ascii() || (letter.is_ascii_control() && !letter.is_whitespace())
        };
        let (index, letter) = text.chars().enumerate().find(|(_, letter)| is_strange(letter))?;
        Some(Self { letter, place: index + 1 })
    }
}

impl fmt::Display for InvalidCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { letter, place } = self;
        write!(f, "U+{:04X} as its character {place}", u32::from(*letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_and_byte_order_marks_around_a_key_are_removed() {
        for text in [
            "key",
            "\u{feff}key",
            "key\r\n",
            "\u{feff} key \n",
            "\u{a0}\u{3000}key\u{85}",
            "key\u{feff}",
        ] {
            assert_eq!(trimmed(text), "key", "{text:?}");
        }
        assert_eq!(trimmed("\u{feff}\n"), "");
    }

    #[test]
    fn the_first_invalid_character_of_a_key_is_named_with_its_position() {
        for (text, message) in [
            ("\u{200b}key", "U+200B as its character 1"),
            ("k\u{ad}e\u{200b}y", "U+00AD as its character 2"),
            ("ke\0y", "U+0000 as its character 3"),
            ("ke\u{7f}y", "U+007F as its character 3"),
            ("\u{1f511}\u{2060}", "U+1F511 as its character 1"),
        ] {
            assert_eq!(InvalidCharacter::within(text).unwrap().to_string(), message);
        }
        for text in ["", "key", "k e\ty\r\n", "whsec_a+/="] {
            assert_eq!(InvalidCharacter::within(text), None, "{text:?}");
        }
    }
}
