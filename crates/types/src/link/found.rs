//! Where links begin in a text.

use super::{products::product_of, wrappers};

/// The schemes of meeting links; a scheme comes before its own suffixes. Invalid ones with `janus` are listed to give a better error than "not a URL".
const SCHEMES: [&str; 12] = [
    "janus+https",
    "janus+http",
    "janus+wss",
    "janus+ws",
    "org.jitsi.meet",
    "zoommtg",
    "zoomus",
    "msteams",
    "https",
    "http",
    "wss",
    "ws",
];

/// Characters that are in no link and stand beside many.
pub(super) const BORDERS: [char; 5] = ['<', '>', '"', '|', '`'];

/// Characters before a link that is a part of another one.
const WITHIN: &str = "=/_?#";

/// A link in a text, and what stands before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'t> {
    /// From the link's first letter to where the next one begins.
    pub text: &'t str,
    /// It has no scheme, as programs show links.
    pub bare: bool,
    /// The text is this link: no words stand before it, and no other link is there.
    pub alone: bool,
    /// The text before it.
    pub before: &'t str,
}

/// The links of a text, in their order.
pub(super) fn spots(text: &str) -> Vec<Spot<'_>> {
    let starts = starts(text, is_known);
    if !starts.is_empty() {
        return cut(text, &starts);
    }
    // Servers of their users have any name.
    cut(text, &starts_of_any_host(text))
}

fn cut<'t>(text: &'t str, starts: &[Start]) -> Vec<Spot<'t>> {
    let ends = starts.iter().skip(1).map(|start| start.at).chain([text.len()]);
    let spot = |(start, end): (&Start, usize)| {
        let (before, link) = (&text[..start.at], &text[start.at..end]);
        let words = || before.trim_matches(|letter: char| !letter.is_alphanumeric());
        // RFC 3986, appendix C.
        let says_nothing = || words().is_empty() || words().eq_ignore_ascii_case("url");
        Spot { text: link, bare: start.bare, alone: starts.len() == 1 && says_nothing(), before }
    };
    starts.iter().zip(ends).map(spot).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    at: usize,
    bare: bool,
}

fn starts_of_any_host(text: &str) -> Vec<Start> {
    starts(text, |_| true)
}

fn is_known(host: &str) -> bool {
    product_of(host).is_some() || wrappers::is_host(host)
}

/// `counts`: whether a link without a scheme is one, by its host.
fn starts(text: &str, counts: fn(&str) -> bool) -> Vec<Start> {
    let mut starts = Vec::new();
    // Where the present word begins, and whether a link is in it.
    let (mut word, mut in_link) = (0, false);
    let mut before = None;
    for (at, letter) in text.char_indices() {
        let ends_word = letter.is_whitespace()
            || BORDERS.contains(&letter)
            || (letter == '(' && before == Some(']'));
        if ends_word {
            (word, in_link) = (at + letter.len_utf8(), false);
        } else if let Some(start) = scheme_before(text, at).filter(|start| *start >= word) {
            // Encoded characters are a part of the surrounding link.
            let encoded = in_link && letter == '%';
            let within =
                start > word && (encoded || text[..start].ends_with(|sign| WITHIN.contains(sign)));
            if !within {
                starts.push(Start { at: start, bare: false });
            } else if !in_link {
                // What it is a part of has no scheme itself.
                let bare = host_at(&text[word..]).is_some();
                starts.push(if bare {
                    Start { at: word, bare }
                } else {
                    Start { at: start, bare }
                });
            }
            in_link = true;
        } else if letter.is_ascii_alphanumeric()
            && begins_host(text, word, at, before, in_link)
            && host_at(&text[at..]).is_some_and(|host| counts(&host))
        {
            starts.push(Start { at, bare: true });
            in_link = true;
        }
        before = Some(letter);
    }
    starts.dedup_by_key(|start| start.at);
    starts
}

/// Whether the name of a host may begin here: at the beginning of a word, or behind punctuation, or a label and a colon.
fn begins_host(text: &str, word: usize, at: usize, before: Option<char>, in_link: bool) -> bool {
    let passed = &text[word..at];
    match before {
        _ if passed.is_empty() => true,
        Some(',' | ';') => true,
        _ if in_link => false,
        Some('/') => passed == "//",
        Some(':') => passed.chars().rev().skip(1).all(char::is_alphanumeric),
        Some('(' | '[' | '{' | '\'' | '*') | None => true,
        Some(sign) => !sign.is_ascii() && !sign.is_alphanumeric(),
    }
}

/// The host with which a link without a scheme begins, as in `zoom.us/j/91234567890`.
fn host_at(text: &str) -> Option<String> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let (name, rest) = text.split_at(text.find(|letter| !is_of_name(letter))?);
    let rest = match rest.strip_prefix(':') {
        Some(port) => port.trim_start_matches(|letter: char| letter.is_ascii_digit()),
        None => rest,
    };
    let host = name.trim_end_matches('.').to_ascii_lowercase();
    let (_, top) = host.rsplit_once('.')?;
    let named = top.len() >= 2 && top.bytes().all(|letter| letter.is_ascii_alphabetic());
    (rest.starts_with('/') && named).then_some(host)
}

/// The start of the scheme whose colon is at `colon`, plain or percent-encoded, if a link continues after it.
fn scheme_before(text: &str, colon: usize) -> Option<usize> {
    let (before, behind) = text.split_at(colon);
    let after = match behind.as_bytes().first()? {
        b':' => &behind[1..],
        b'%' => {
            let code = behind[1..].trim_start_matches("25");
            code.get(..2).filter(|code| code.eq_ignore_ascii_case("3a"))?;
            &code[2..]
        }
        _ => return None,
    };
    let encoded = behind.starts_with('%');
    let is_of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+.-".contains(byte);
    let length = before.bytes().rev().take(15).take_while(is_of_scheme).count();
    let run = &before[colon - length..];
    let ends_with = |scheme: &&&str| {
        run.len() >= scheme.len() && run[run.len() - scheme.len()..].eq_ignore_ascii_case(scheme)
    };
    let scheme = SCHEMES.iter().find(ends_with)?;
    let is_web = matches!(*scheme, "https" | "http");
    let goes_on = match after.chars().next()? {
        '/' => true,
        '%' => encoded,
        // Browsers take these too.
        next => is_web && !encoded && (next == '\\' || next.is_ascii_alphanumeric()),
    };
    // Words may stand before a link without a blank, and only `http` is no end of a word.
    let begins = is_web || run.len() == scheme.len();
    (goes_on && begins && (is_web || !encoded)).then(|| colon - scheme.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn links(text: &str) -> Vec<&str> {
        spots(text).iter().map(|spot| spot.text).collect()
    }

    #[test]
    fn links_are_found_after_words_brackets_and_signs() {
        for (text, link) in [
            ("Join: https://x.example/a", "https://x.example/a"),
            ("Joinhttps://x.example/a", "https://x.example/a"),
            ("会议链接：https://x.example/a", "https://x.example/a"),
            ("会議\nhttps://x.example/a", "https://x.example/a"),
            ("[Join](https://x.example/a)", "https://x.example/a)"),
            ("Ann <https://x.example/a>", "https://x.example/a>"),
            ("<a href=\"https://x.example/a\">", "https://x.example/a\">"),
            ("<a href=https://x.example/a>", "https://x.example/a>"),
            ("HTTPS://x.example/a", "HTTPS://x.example/a"),
            ("see https%3A%2F%2Fx.example", "https%3A%2F%2Fx.example"),
            ("see https%253A%252F%252Fx.example", "https%253A%252F%252Fx.example"),
            ("room janus+wss://x.example/?room=1", "janus+wss://x.example/?room=1"),
            ("zoommtg://zoom.us/join?confno=1", "zoommtg://zoom.us/join?confno=1"),
            ("Zoom: zoom.us/j/1", "zoom.us/j/1"),
            ("Link:meet.google.com/a", "meet.google.com/a"),
            ("（meet.google.com/a）", "meet.google.com/a）"),
            ("//meet.google.com/a", "meet.google.com/a"),
            ("MEET.google.com:443/a", "MEET.google.com:443/a"),
            ("x.example/a", "x.example/a"),
            ("g.co/meet/a", "g.co/meet/a"),
            (
                "slack-redir.net/link?url=https://x.example/a",
                "slack-redir.net/link?url=https://x.example/a",
            ),
            ("evil.example/?u=https://zoom.us/j/1", "evil.example/?u=https://zoom.us/j/1"),
        ] {
            assert_eq!(links(text), [link], "{text:?}");
        }
    }

    #[test]
    fn a_link_in_a_query_is_part_of_the_outer_link() {
        for part in [
            "?u=https://b.example",
            "/https://b.example",
            "/v3/__https://b.example__;!!A!",
            "?https://b",
            "#https://b",
        ] {
            let text = format!("https://a.example{part}");
            assert_eq!(links(&text), [&text]);
        }
        for between in [" ", ",", ";", "\n", "|", ">", "](", "”“", "a"] {
            let text = format!("https://a.example/{between}https://b.example/");
            let first = format!("https://a.example/{between}");
            assert_eq!(links(&text), [&*first, "https://b.example/"], "{text:?}");
        }
        assert_eq!(links("https://a.example/ or zoom.us/j/1").len(), 2);
        assert_eq!(links("zoom.us/j/1,meet.google.com/a").len(), 2);
        assert_eq!(links("https://a.example/zoom.us/j/1").len(), 1);
    }

    #[test]
    fn text_without_a_link_has_none() {
        for text in [
            "",
            "zoom",
            "zoom.us",
            "and/or",
            "e.g. this: that",
            "https: what it is",
            "ftp://zoom.us/j/1",
            "me@zoom.us/j/1",
            "azoom.us:x",
            "https%3x",
            "news://x.example/",
            "1.2/3",
        ] {
            assert!(links(text).is_empty(), "{text:?}: {:?}", links(text));
        }
    }
}
