//! Text for terminals. Untrusted text (names, chat, URLs, responses of endpoints, errors of servers) must not control them: it could overwrite other
//! output, reverse the order of letters, or forge a line. All output and logs of the program go through here.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a terminal acts on a character in place of showing it: control characters (C0, DEL, C1), line and paragraph separators, and those that change the
/// direction or the place of what follows (Unicode's `Bidi_Control`, the deprecated U+206A to U+206F, and interlinear annotation).
pub(crate) fn controls_terminal(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text in one line, with U+FFFD in place of each character that [`controls_terminal`].
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(controls_terminal) {
        return Cow::Borrowed(text);
    }
    let shown =
        |letter| if controls_terminal(letter) { char::REPLACEMENT_CHARACTER } else { letter };
    text.chars().map(shown).collect::<String>().into()
}

/// A message that may have several lines, all but the first indented, so that none looks like one of another message.
pub(crate) fn message(text: &str) -> String {
    let mut lines = text.lines().map(plain);
    let mut message = lines.next().unwrap_or_default().into_owned();
    lines.for_each(|line| message.extend(["\n  ", &*line]));
    message
}

/// JSON with each character that [`controls_terminal`] escaped. Outside its strings JSON holds none but line breaks, which stay.
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    let escape = |letter| letter != '\n' && controls_terminal(letter);
    if !json.contains(escape) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        if escape(letter) {
            // All of them are within the first plane.
            let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
        } else {
            escaped.push(letter);
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use meetbot_types::visible::is_invisible;

    use super::*;

    /// One of each kind that a terminal acts on.
    const CONTROLS: &str = "\0\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9d}\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{206a}\u{206f}\u{fff9}\u{fffb}";

    #[test]
    fn control_characters_are_replaced_in_text_and_escaped_in_json() {
        for letter in CONTROLS.chars() {
            let text = format!("a{letter}b");
            assert_eq!(plain(&text), "a\u{fffd}b", "{letter:?}");
            let json = serde_json::to_string(&text).unwrap();
            assert!(!escaped(&json).contains(controls_terminal), "{letter:?}");
            assert_eq!(serde_json::from_str::<String>(&escaped(&json)).unwrap(), text);
        }
    }

    #[test]
    fn control_characters_are_invisible_controls_or_line_breaks() {
        let steering = ('\0'..=char::MAX).filter(|letter| controls_terminal(*letter));
        let known =
            |letter: &char| letter.is_control() || letter.is_whitespace() || is_invisible(*letter);
        assert_eq!(steering.filter(|letter| !known(letter)).collect::<String>(), "");
    }

    #[test]
    fn ordinary_text_is_shown_unchanged() {
        // Joiners make letters and pictures of several signs; they stay.
        for text in ["Zoë", "श्री", "می‌خواهم", "👨‍👩‍👧", "❤️", "日本語", "a\u{ad}b", "‹é›", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
        {
            assert_eq!(plain(text), text);
            assert_eq!(escaped(text), text);
        }
        assert_eq!(escaped("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }

    #[test]
    fn later_lines_of_a_message_are_indented() {
        assert_eq!(message("one\ntwo\r\n\u{1b}[1mthree\n"), "one\n  two\n  \u{fffd}[1mthree");
        assert_eq!(message(""), "");
    }
}
