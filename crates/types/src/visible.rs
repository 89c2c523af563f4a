//! Whether a text shows anything: the one list of letters that show nothing.

use icu_properties::{
    CodePointSetData, CodePointSetDataBorrowed, props::DefaultIgnorableCodePoint,
};

/// Zero-width spaces and joiners, marks of direction, fillers of Hangul, variation selectors, tags.
const IGNORABLE: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<DefaultIgnorableCodePoint>();

/// Whether a letter shows nothing and is neither white space nor a control character: Unicode's `Default_Ignorable_Code_Point`, and blanks and format characters
/// that are not among them.
pub fn is_invisible(letter: char) -> bool {
    let is_blank = matches!(
        letter,
        // The braille pattern without dots.
        '\u{2800}'
            // Interlinear annotation.
            | '\u{fff9}'..='\u{fffb}'
            // Format controls and blanks of Egyptian hieroglyphs.
            | '\u{13430}'..='\u{1343f}'
            | '\u{13441}'..='\u{13442}'
            // The filler of the small Khitan script.
            | '\u{16fe4}'
            // The musical null notehead.
            | '\u{1d159}'
    );
    is_blank || IGNORABLE.contains(letter)
}

/// Whether nothing of a text shows: it is empty, or holds only white space, control characters and [invisible](is_invisible) letters.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| letter.is_whitespace() || letter.is_control() || is_invisible(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_blank_alone_and_together() {
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
    fn visible_characters_are_not_blank() {
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
}
