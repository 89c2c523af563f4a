//! A text as people see it: without the escapes of HTML, Markdown, calendars and JSON, and without invisible characters.

use icu_properties::{CodePointSetData, props::Emoji};

use crate::visible::is_invisible;

/// Letters that change the form of their neighbours.
const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';

/// A character reference is no longer: `&#x10FFFF;`.
const LONGEST_REFERENCE: usize = 10;

/// The text, with `\n` alone between its lines. What is encoded twice is decoded twice.
pub(super) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let plainer = visible(&decoded(&text));
        if plainer == text {
            return text;
        }
        text = plainer;
    }
}

/// Decodes character references of HTML and escapes of Markdown, calendars (RFC 5545, 3.3.11) and JSON, each of them once.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (length, letter) = match next {
            // Two backslashes are none that escapes: Windows has them in paths.
            '\\' if rest.starts_with("\\\\") => {
                decoded.push('\\');
                (2, '\\')
            }
            '\\' => escape(rest).unwrap_or((1, '\\')),
            '&' => reference(rest).unwrap_or((1, '&')),
            '\r' if rest.starts_with("\r\n") => (2, '\n'),
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                (next.len_utf8(), '\n')
            }
            _ => (next.len_utf8(), next),
        };
        decoded.push(letter);
        rest = &rest[length..];
    }
    decoded
}

/// The length of an escape and what it stands for.
fn escape(text: &str) -> Option<(usize, char)> {
    const OF_JSON: [(&str, char); 7] = [
        ("\\u0026", '&'),
        ("\\u003d", '='),
        ("\\u003D", '='),
        ("\\u003c", '<'),
        ("\\u003C", '<'),
        ("\\u003e", '>'),
        ("\\u003E", '>'),
    ];
    if let Some((escape, letter)) = OF_JSON.iter().find(|(escape, _)| text.starts_with(escape)) {
        return Some((escape.len(), *letter));
    }
    match text[1..].chars().next()? {
        'n' | 'N' => Some((2, '\n')),
        'r' if text.starts_with("\\r\\n") => Some((4, '\n')),
        // Text after `%` is percent-encoded, which no program escapes.
        sign if sign.is_ascii_punctuation() && sign != '%' => Some((2, sign)),
        _ => None,
    }
}

/// The length of a character reference and what it stands for. Of numbers, only those of signs: no program writes letters or digits so.
fn reference(text: &str) -> Option<(usize, char)> {
    let end = text.bytes().take(LONGEST_REFERENCE).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let letter = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(number) => u32::from_str_radix(number, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?).filter(|letter| !letter.is_alphanumeric())?
        }
    };
    let mut length = name.len() + 2;
    if letter == '&' {
        while text[length..].starts_with("amp;") {
            length += "amp;".len();
        }
    }
    Some((length, letter))
}

/// Drops invisible characters that chats, word processors and mail programs insert, also percent-encoded ones: zero-width blanks, marks of direction, control
/// characters. Joiners and selectors stay where they are a part of what is seen: in words of other scripts than ours and in emoji.
fn visible(text: &str) -> String {
    if !text.contains(|letter: char| letter == '%' || letter.is_control() || !letter.is_ascii()) {
        return text.to_owned();
    }
    let characters: Vec<(char, &str)> = characters(text).collect();
    let mut visible = String::with_capacity(text.len());
    let mut before = None;
    // What comes next of what can be seen.
    let mut next: Vec<Option<char>> = vec![None; characters.len()];
    let mut seen = None;
    for (index, (letter, _)) in characters.iter().enumerate().rev() {
        next[index] = seen;
        if !is_invisible(*letter) {
            seen = Some(*letter);
        }
    }
    for ((letter, written), next) in characters.into_iter().zip(next) {
        let hidden = if is_invisible(letter) {
            !before.is_some_and(|before| belongs(letter, before, next))
        } else {
            letter.is_control() && !letter.is_whitespace() && written.len() == letter.len_utf8()
        };
        if !hidden {
            visible.push_str(written);
            before = Some(letter);
        }
    }
    visible
}

/// Whether an invisible letter changes how the one before it is shown.
fn belongs(letter: char, before: char, next: Option<char>) -> bool {
    match letter {
        ZWNJ | ZWJ => !before.is_ascii() && next.is_some_and(|next| !next.is_ascii()),
        // The digits of keycaps are emoji too.
        '\u{fe0e}'..='\u{fe0f}' => {
            let is_emoji = CodePointSetData::new::<Emoji>().contains(before);
            is_emoji && (!before.is_ascii() || next == Some('\u{20e3}'))
        }
        // Forms of ideographs, and of Mongolian letters.
        '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => before >= '\u{2e80}',
        '\u{180b}'..='\u{180f}' => ('\u{1800}'..='\u{18af}').contains(&before),
        // Flags of regions: a black flag and the region's letters.
        '\u{e0020}'..='\u{e007f}' => {
            before == '\u{1f3f4}' || ('\u{e0020}'..='\u{e007e}').contains(&before)
        }
        _ => false,
    }
}

/// Each character with how it is written: as it is, or percent-encoded.
fn characters(text: &str) -> impl Iterator<Item = (char, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let plain = rest.chars().next()?;
        let (letter, length) = match plain {
            '%' => encoded(rest).unwrap_or((plain, 1)),
            _ => (plain, plain.len_utf8()),
        };
        let (written, after) = rest.split_at(length);
        rest = after;
        Some((letter, written))
    })
}

/// The character beyond ASCII that a text begins with in percent-encoding, and the length of that.
fn encoded(text: &str) -> Option<(char, usize)> {
    let mut bytes = [0; 4];
    for index in 0..bytes.len() {
        let code = text.get(index * 3..index * 3 + 3)?.strip_prefix('%')?;
        bytes[index] = u8::from_str_radix(code, 16).ok().filter(|byte| !byte.is_ascii())?;
        let length = (index + 1) * 3;
        if let Ok(found) = std::str::from_utf8(&bytes[..=index]) {
            return found.chars().next().map(|letter| (letter, length));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_programs_add_are_removed() {
        for (text, seen) in [
            ("a?b=1&amp;c=2&amp;amp;d", "a?b=1&c=2&d"),
            ("&lt;a&gt; &quot;b&quot; &#39;c&#x27;&nbsp;d", "<a> \"b\" 'c' d"),
            ("https:&#x2F;&#47;x", "https://x"),
            ("https:\\/\\/x?a\\u003d1\\u0026b", "https://x?a=1&b"),
            ("a\\_b\\*c\\,d\\;e", "a_b*c,d;e"),
            ("a\\nb\\r\\nc", "a\nb\nc"),
            ("a\r\nb\rc\u{b}d\u{2028}e", "a\nb\nc\nd\ne"),
            ("C:\\\\x\\y", "C:\\\\x\\y"),
            ("a\\%20b", "a\\%20b"),
            ("a&b;c&#65;&#x110000;&copy;&", "a&b;c&#65;&#x110000;&copy;&"),
            ("a&#8203;b", "ab"),
        ] {
            assert_eq!(plain(text), seen, "{text:?}");
        }
    }

    #[test]
    fn invisible_characters_are_removed_except_in_words_and_emoji() {
        let invisible = (0..=0x0e_0fff).filter_map(char::from_u32);
        for letter in invisible.filter(|letter| is_invisible(*letter)) {
            let encoded = percent_encoding::utf8_percent_encode(
                letter.encode_utf8(&mut [0; 4]),
                percent_encoding::NON_ALPHANUMERIC,
            )
            .to_string();
            for letter in [letter.to_string(), encoded] {
                for (before, after) in [("", "a"), ("a", ""), ("a", "b"), ("1", "2"), ("é", "é")]
                {
                    let text = format!("{before}{letter}{after}");
                    let joins = before == "é"
                        && matches!(&*letter, "\u{200c}" | "\u{200d}" | "%E2%80%8C" | "%E2%80%8D");
                    let seen = if joins { text.clone() } else { format!("{before}{after}") };
                    assert_eq!(plain(&text), seen, "{text:?}");
                }
            }
        }
        for whole in [
            "☕\u{fe0f}",
            "%E2%98%95%EF%B8%8F",
            "👩\u{200d}💻",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "می\u{200c}خواهم",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "葛\u{e0100}城",
            "100%",
            "%ff%E2%80",
        ] {
            assert_eq!(plain(whole), whole, "{whole:?}");
        }
        assert_eq!(plain("👩\u{200d}"), "👩", "nothing is joined");
        assert_eq!(plain("a\0b\u{9f}c%00"), "abc%00");
    }
}
