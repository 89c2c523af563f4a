//! A link as it was copied out of a mail, a calendar or a chat: what belongs to the text around it is taken off.

use url::Url;

/// Brackets in pairs. One that closes and was never opened is of the text around a link.
const BRACKETS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];

/// What no program that makes links leaves bare (`encodeURIComponent` and its like encode it), at the end of a link.
const NEVER_BARE: &str = "<>\"`|\\^&,;:([{“”„‟«»‹›‘’‚…。、，；：！？）】」』》〉";

/// What ends a sentence or closes a quotation, and may as well be the last character of a name.
const SENTENCE_ENDS: &str = ".!?'*";

/// What browsers encode when they copy a link with the text around it.
const ENCODED_BY_BROWSERS: &str = "<>\"'`{}";

/// The link in a text.
pub(super) fn copied(text: &str) -> String {
    let unfolded = unfold(text);
    let visible: String = unfolded.chars().filter(|c| !is_invisible(*c)).collect();
    let mut link = between_angle_brackets(&visible).to_owned();
    // A blank in a query or a fragment is encoded; in a path people type it: names of rooms, numbers in groups.
    if let Some(query) = link.find(['?', '#'])
        && let Some(blank) = link[query..].find(char::is_whitespace)
    {
        link.truncate(query + blank);
    }
    // URLs hold no tabs: parsers of URLs skip them.
    link = link.replace('\t', "");
    while link.contains("&amp;") {
        link = link.replace("&amp;", "&");
    }
    let link = link.trim_start_matches(|c: char| !c.is_alphanumeric());
    // RFC 3986, appendix C.
    let link = match link.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("url:") => &link[4..],
        _ => link,
    };
    let mut link = link.trim().to_owned();
    while let Some(last) = link.chars().next_back()
        && (last.is_whitespace()
            || is_joiner(last)
            || NEVER_BARE.contains(last)
            || (last != ')' && closes_nothing(&link, last)))
    {
        link.pop();
    }
    // A link that was encoded as a whole.
    let head = link.get(..9).unwrap_or(&link).to_ascii_lowercase();
    if head.starts_with("https%3a") || head.starts_with("http%3a") {
        return copied(&super::decode(&link));
    }
    link
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
            || is_invisible(last)
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

/// What stands between `<` and `>`, where the text begins so; of `<link|label>`, as chats have it, the link.
fn between_angle_brackets(text: &str) -> &str {
    let text = text.trim_start();
    let Some(inside) = text.strip_prefix('<') else { return text };
    inside.split(['>', '|']).next().unwrap_or(inside)
}

/// Puts lines together that a calendar (RFC 5545, 3.1) or a mail program broke. Where an empty line or a line of words follows, the link has ended.
fn unfold(text: &str) -> String {
    let text = text.trim().replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.split('\n');
    let mut link = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        let folded = line.starts_with([' ', '\t']);
        let mut words = line.split_whitespace();
        let (first, more) = (words.next(), words.next().is_some());
        match first {
            Some(word) if folded || !more => link.push_str(word),
            _ => break,
        }
        if more {
            break;
        }
    }
    link
}

/// What nobody sees and chats, word processors and mail programs put in: zero-width blanks, marks of direction, control characters.
fn is_invisible(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(
            c,
            '\u{AD}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206F}' | '\u{FEFF}'
        )
}

/// Invisible too, but of a meaning within words and emoji.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_link_is_taken_off() {
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
        ] {
            assert_eq!(copied(text), "https://x.example/a?b=c", "{text:?}");
        }
        assert_eq!(copied("https://x.example/a?b=1&amp;c=2"), "https://x.example/a?b=1&c=2");
        assert_eq!(copied("https://x.example/My Room"), "https://x.example/My Room");
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
            "%E2%80%8B",
            "%C2%A0.",
            "%3E",
            "%22",
            "%27",
            "%E2%80%9D",
            "%EF%BB%BF%20",
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
        xtask::nasty::feed(&corpus, |text| {
            let Ok(url) = Url::parse(&copied(text)) else { return };
            if url.cannot_be_a_base() || !matches!(url.scheme(), "http" | "https") {
                return;
            }
            let Some(url) = without_sentence_end(url) else { return };
            let again = Url::parse(&copied(url.as_str())).map(without_sentence_end);
            assert_eq!(again, Ok(Some(url)), "{text:?}");
        });
    }
}
