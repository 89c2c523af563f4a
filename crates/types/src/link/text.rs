//! A link as it was copied out of a mail, a calendar or a chat: removes the surrounding text.

use url::Url;

use super::{
    found::{BORDERS, Spot, spots},
    plain::plain,
};

/// Brackets in pairs. One that closes and was never opened is of the text around a link.
const BRACKETS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];

/// Characters that programs encode in links (as `encodeURIComponent` does), so that they are no part of a link at its end.
const NEVER_BARE: &str = "<>\"`|\\^&,;:([{“”„‟«»‹›‘’‚…。、，；：！？）】」』》〉＞\u{fffc}";

/// Characters that end a sentence or a quotation, and that may also end a name.
const SENTENCE_ENDS: &str = ".!?'*";

/// Characters that browsers encode when they copy a link with the text around it.
const ENCODED_BY_BROWSERS: &str = "<>\"'`{}";

/// Delimiters around a link, which ends at the closing one.
const AROUND: [(char, char); 18] = [
    ('(', ')'),
    ('[', ']'),
    ('{', '}'),
    ('\'', '\''),
    ('“', '”'),
    ('„', '“'),
    ('‟', '”'),
    ('‘', '’'),
    ('«', '»'),
    ('»', '«'),
    ('‹', '›'),
    ('「', '」'),
    ('『', '』'),
    ('【', '】'),
    ('《', '》'),
    ('〈', '〉'),
    ('（', '）'),
    ('＜', '＞'),
];

/// Mail programs break no shorter lines.
const BROKEN_LINE: usize = 60;

/// Whether a blank in a link's path is a part of it. In a query or a fragment it is encoded; in a path people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blanks {
    /// Between letters and digits: names of rooms have blanks.
    InNames,
    /// Between digits: ids come in groups.
    InNumbers,
    Nowhere,
}

/// The possible readings of a link, the likeliest first: lines joined, blanks within it.
pub(super) fn readings(spot: &Spot<'_>) -> Vec<String> {
    let unfolded = plain(&unfold(spot, false));
    let all_unfolded = plain(&unfold(spot, true));
    let first_line = spot.text.split('\n').next().unwrap_or_default();
    let names = if spot.alone { Blanks::InNames } else { Blanks::InNumbers };
    let mut readings: Vec<String> = Vec::new();
    for (text, blanks) in [
        (&*unfolded, names),
        (first_line, Blanks::InNumbers),
        (first_line, Blanks::Nowhere),
        (&*all_unfolded, names),
    ] {
        let Some(link) = trimmed(ends(text, spot.before.chars().next_back(), blanks)) else {
            continue;
        };
        let link = if spot.bare { format!("https://{link}") } else { link };
        if !readings.contains(&link) {
            readings.push(link);
        }
    }
    readings
}

/// The link that was found inside another one.
pub(super) fn inner(text: &str) -> Option<String> {
    let text = plain(text);
    readings(spots(&text).first()?).into_iter().next()
}

/// The text up to where the link ends.
fn ends(text: &str, before: Option<char>, blanks: Blanks) -> &str {
    let mut link = text.split(BORDERS).next().unwrap_or_default();
    if let Some((opens, closes)) = AROUND.into_iter().find(|pair| before == Some(pair.0)) {
        let mut depth = 1;
        let closing = link.char_indices().find(|(_, letter)| {
            depth += if *letter == closes { -1 } else { i32::from(*letter == opens) };
            depth == 0
        });
        link = closing.map_or(link, |(at, _)| &link[..at]);
    }
    let path = link.find(['?', '#']).unwrap_or(link.len());
    let is_within = |letter: Option<char>| {
        letter.is_some_and(|letter| match blanks {
            Blanks::InNames => letter.is_alphanumeric(),
            Blanks::InNumbers => letter.is_ascii_digit(),
            Blanks::Nowhere => false,
        })
    };
    let ends = |at: usize, blank: char| {
        let (before, after) = (&link[..at], &link[at + blank.len_utf8()..]);
        let within = is_within(before.chars().next_back()) && is_within(after.chars().next());
        // Tabs part the cells of tables.
        blank.is_whitespace() && (at > path || blank == '\t' || !within)
    };
    let end = link.char_indices().find(|(at, letter)| ends(*at, *letter));
    end.map_or(link, |(at, _)| &link[..at])
}

/// A link without what belongs to the text around it.
fn trimmed(link: &str) -> Option<String> {
    let link = link.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut link = link.trim_end().to_owned();
    while let Some(last) = link.chars().next_back()
        && (last.is_whitespace()
            || is_joiner(last)
            || NEVER_BARE.contains(last)
            || (last != ')' && closes_nothing(&link, last)))
    {
        link.pop();
    }
    if !is_encoded(&link) {
        return Some(link);
    }
    while is_encoded(&link) {
        link = super::decode(&link);
    }
    inner(&link)
}

/// Whether a link is encoded as a whole, once or more than once.
fn is_encoded(link: &str) -> bool {
    let link =
        link.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("http")).map(|_| &link[4..]);
    let colon =
        link.and_then(|link| link.strip_prefix(['s', 'S']).unwrap_or(link).strip_prefix('%'));
    let code = colon.map(|colon| colon.trim_start_matches("25"));
    code.and_then(|code| code.get(..2)).is_some_and(|code| code.eq_ignore_ascii_case("3a"))
}

/// The URL without the rest of a sentence at its end, which may be encoded by now. Not for a URL that ends with a password
/// that people choose: there a full stop is as likely a part of it. Products' own codes never end with one.
pub(super) fn without_sentence_end(mut url: Url) -> Option<Url> {
    loop {
        let mut text = url.as_str();
        while let Some(shorter) = without_last(text) {
            text = shorter;
        }
        if text == url.as_str() {
            return Some(url);
        }
        url = Url::parse(text).ok()?;
    }
}

/// The text without its last character, where that is no part of a link.
fn without_last(text: &str) -> Option<&str> {
    if let Some((rest, last)) = encoded_last(text) {
        let rubbish = last.is_whitespace()
            || is_joiner(last)
            || (ENCODED_BY_BROWSERS.contains(last) && !BRACKETS.iter().any(|pair| pair.1 == last))
            || (!last.is_ascii() && NEVER_BARE.contains(last))
            || (last != ')' && last != ']' && closes_nothing(text, last));
        return rubbish.then_some(rest);
    }
    let last = text.chars().next_back()?;
    let rubbish =
        NEVER_BARE.contains(last) || SENTENCE_ENDS.contains(last) || closes_nothing(text, last);
    rubbish.then(|| &text[..text.len() - last.len_utf8()])
}

/// The last character of a text that ends with a percent-encoded one, and what is before it.
fn encoded_last(text: &str) -> Option<(&str, char)> {
    for bytes in 1..=4 {
        let (rest, end) = text.split_at_checked(text.len().checked_sub(bytes * 3)?)?;
        if !end.bytes().step_by(3).all(|byte| byte == b'%') {
            return None;
        }
        let decoded = percent_encoding::percent_decode_str(end).decode_utf8();
        let Ok(decoded) = decoded else { continue };
        let mut characters = decoded.chars();
        if let (Some(last), None) = (characters.next(), characters.next()) {
            return Some((rest, last));
        }
    }
    None
}

fn closes_nothing(text: &str, last: char) -> bool {
    let Some((opens, closes)) = BRACKETS.into_iter().find(|pair| pair.1 == last) else {
        return false;
    };
    let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    text.matches(closes).count() > text.matches(opens).count()
}

/// Puts lines together that a calendar (RFC 5545, 3.1) or a mail program broke. Where an empty line or a line of words follows, the link has ended.
/// Short lines are broken by hand, so the next one goes on with a path only where nothing else makes a meeting of it: `all`.
fn unfold(spot: &Spot<'_>, all: bool) -> String {
    let mut lines = spot.text.split('\n');
    let mut link = lines.next().unwrap_or_default().to_owned();
    let before = spot.before.rsplit('\n').next().unwrap_or_default();
    let indented = before.starts_with([' ', '\t']);
    let mut length = before.chars().count() + link.chars().count();
    for line in lines {
        let folded = line.starts_with([' ', '\t']);
        let mut words = line.split_whitespace();
        let (Some(word), more) = (words.next(), words.next().is_some()) else { break };
        let long = length >= BROKEN_LINE;
        // Among other words, an indented line or a word by itself may as well be the next of them.
        let in_path = link.matches('/').count() > 2 && !link.contains(['?', '#']);
        let broken = long || all || !in_path;
        let goes_on = match (folded, more) {
            (true, false) => !indented && broken,
            (true, true) => !indented && long,
            (false, false) => long || (spot.alone && broken),
            (false, true) => false,
        };
        if !goes_on || !word.is_ascii() || word.ends_with([':', ',']) {
            break;
        }
        link.push_str(word);
        if more {
            break;
        }
        length = line.chars().count();
    }
    link
}

/// Invisible, but of a meaning within words and emoji.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The likeliest reading of the first link of a text.
    #[track_caller]
    fn copied(text: &str) -> String {
        inner(text).unwrap()
    }

    #[test]
    fn characters_around_a_link_are_removed() {
        for text in [
            "<https://x.example/a?b=c>",
            "<https://x.example/a?b=c|Join>",
            "<URL:https://x.example/a?b=c> (by Zoom)",
            "(https://x.example/a?b=c",
            "\u{201c}https://x.example/a?b=c\u{201d}",
            "\u{200b}https://x.example/a?b=c\u{feff}\u{2060}\u{a0}",
            "https://x.\u{200b}example/a?b=c",
            "https://x.example/a?b=c,;\">",
            "https://x.example/a?b=c and more",
            "https://x.example/a?b=c\n\nMeeting ID: 1",
            "https://x.example/a?b=c\r\n\r\nPasscode",
            "https://x.example/a?b=c\nMeeting ID: 1",
            "https://x.example/a?\r\n b\r\n\t=c",
            "https://x.example/a?\n  b=c",
            "https://x.exam\nple/a?b=c",
            "https%3A%2F%2Fx.example%2Fa%3Fb%3Dc",
            "https%253A%252F%252Fx.example%252Fa%253Fb%253Dc",
            "Join: https://x.example/a?b=c",
            "[Join](https://x.example/a?b=c) (by Zoom)",
            "[Join](<https://x.example/a?b=c> \"title\")",
            "<a href='https://x.example/a?b=c'>Join</a>",
            "Ann <https://x.example/a?b=c>",
            "„https://x.example/a?b=c“ sagte sie",
            "https://x.example/a?b=c&lt;br&gt;",
            "Join:\n  https://x.example/a?b=c\n  Meeting ID: 1",
            "Join: https://x.example/a?b=c\nThanks",
            "https://x.example/a?b=c\nPasscode:\n1",
            "https://x.example/a?b=c\n会议号\n1",
            "A label so long that a calendar folds the line of the link: https://x.example/a?\n b=c and more",
        ] {
            assert_eq!(copied(text), "https://x.example/a?b=c", "{text:?}");
        }
        assert_eq!(copied("https://x.example/a?b=1&amp;c=2"), "https://x.example/a?b=1&c=2");
        for room in ["https://x.example/My Room", "https://x.example/912 3456 7890"] {
            assert_eq!(copied(room), room);
        }
        for more in [" (password: 1)", " - see you", ", see you", " <me>"] {
            assert_eq!(
                copied(&format!("https://x.example/My Room{more}")),
                "https://x.example/My Room"
            );
        }
        assert_eq!(
            copied("Call https://x.example/912 3456 7890 now"),
            "https://x.example/912 3456 7890"
        );
        assert_eq!(copied("Call https://x.example/a now"), "https://x.example/a");
        assert_eq!(copied("zoom.us/j/1"), "https://zoom.us/j/1");
        assert_eq!(copied("https://x.example/a(b)"), "https://x.example/a(b)");
    }

    #[test]
    fn the_end_of_a_sentence_is_taken_off_also_where_a_browser_encoded_it() {
        let end = |text: &str| without_sentence_end(Url::parse(text).unwrap()).unwrap().to_string();
        for rubbish in [
            ".",
            "!",
            "?",
            "'",
            ")",
            ").",
            "...",
            "*",
            "%20",
            "%C2%A0.",
            "%3E",
            "%22",
            "%27",
            "%E2%80%9D",
            "]",
            "%7D",
            ",.",
        ] {
            assert_eq!(end(&format!("https://x.example/a{rubbish}")), "https://x.example/a");
            let query = format!("https://x.example/a?b=c{rubbish}");
            assert_eq!(end(&query), "https://x.example/a?b=c");
        }
        for whole in ["a(b)", "a%20(b)", "a%28b%29", "a%21", "a_", "a-", "a=", "a.1", "%E2%98%95"] {
            let text = format!("https://x.example/{whole}");
            assert_eq!(end(&text), text);
        }
    }

    #[test]
    fn a_link_that_was_read_reads_the_same_again() {
        let corpus = ["<https://x.example/(a)?b=c.>\r\n d", "url:http://x/&am\tp;?q=\u{200d}.)"];
        xtask::hostile_inputs::feed(&corpus, |text| {
            // No longer text is read.
            if text.chars().nth(super::super::MAX_URL_CHARACTERS).is_some() {
                return;
            }
            let Some(Ok(url)) = inner(text).map(|link| Url::parse(&link)) else { return };
            if url.cannot_be_a_base() || !matches!(url.scheme(), "http" | "https") {
                return;
            }
            let Some(url) = without_sentence_end(url) else { return };
            let again = Url::parse(&copied(url.as_str())).map(without_sentence_end);
            assert_eq!(again, Ok(Some(url)), "{text:?}");
        });
    }
}
