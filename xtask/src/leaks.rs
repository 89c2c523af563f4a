//! Whether a log holds a secret. Servers that tests start log all they have to say into `target/test-logs`
//! (`xtask::test_log`); the last step of `cargo xtask test` searches it.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use xtask::test_log;

/// What a secret looks like.
struct Shape {
    what: &'static str,
    /// What stands before it, in lower case.
    begins: &'static str,
    /// The characters that it is made of.
    made_of: fn(char) -> bool,
    /// How many of them there are at least: the documents' `mb_live_…` is no key, and a key's first eight letters are public.
    least: usize,
}

const SHAPES: [Shape; 11] = [
    Shape { what: "a live key", begins: "mb_live_", made_of: plain, least: 9 },
    Shape { what: "a test key", begins: "mb_test_", made_of: plain, least: 9 },
    Shape { what: "a webhook secret", begins: "whsec_", made_of: base64, least: 8 },
    Shape { what: "a token", begins: "bearer ", made_of: base64, least: 12 },
    Shape { what: "a passcode", begins: "pwd=", made_of: value, least: 1 },
    Shape { what: "a passcode", begins: "pin=", made_of: value, least: 1 },
    Shape { what: "a passcode", begins: "passcode=", made_of: value, least: 1 },
    Shape { what: "a passcode", begins: "password=", made_of: value, least: 1 },
    Shape { what: "a passcode", begins: "passcode: some(", made_of: value, least: 1 },
    Shape { what: "a signature", begins: "sha256=", made_of: plain, least: 64 },
    Shape { what: "a signature", begins: "v1,", made_of: base64, least: 44 },
];

/// How many letters and digits a bot's token has: nothing stands before it.
const TOKEN: usize = 43;

/// Fewer logs than this, and the search has found nothing because there was nothing.
const LEAST_LOGS: usize = 20;

fn plain(character: char) -> bool {
    character.is_ascii_alphanumeric()
}

fn base64(character: char) -> bool {
    plain(character) || "+/=_-".contains(character)
}

fn value(character: char) -> bool {
    !character.is_whitespace() && !"&…)]}>`'\\\"".contains(character)
}

/// What secret a line holds.
fn secret(line: &str) -> Option<&'static str> {
    // The letters stay where they are: only ASCII changes its case.
    let lower = line.to_ascii_lowercase();
    let shaped = SHAPES.iter().find(|shape| {
        lower.match_indices(shape.begins).any(|(at, begins)| {
            let rest = line[at + begins.len()..].trim_start_matches('"');
            rest.chars().take_while(|character| (shape.made_of)(*character)).count() >= shape.least
        })
    });
    let token = || line.split(|character| !plain(character)).any(|word| word.len() == TOKEN);
    shaped.map(|shape| shape.what).or_else(|| token().then_some("a bot's token"))
}

/// Searches all logs of the tests.
pub(crate) fn search() -> anyhow::Result<()> {
    let folder = test_log::folder();
    let (mut logs, mut bytes) = (0, 0);
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        for (index, line) in text.lines().enumerate() {
            if let Some(what) = secret(line) {
                bail!("{}:{} holds {what}", path.display(), index + 1);
            }
        }
        logs += 1;
        bytes += text.len();
    }
    ensure!(logs >= LEAST_LOGS, "only {logs} logs in {}: the tests write more", folder.display());
    eprintln!("xtask: no secret in {logs} logs of {bytes} bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_secret_is_found() {
        let letters = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0";
        for (line, what) in [
            (format!("answered key=mb_live_abcdefgh{letters}"), "a live key"),
            (format!("{{\"key\":\"mb_test_abcdefgh{letters}\"}}"), "a test key"),
            ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), "a webhook secret"),
            (format!("Authorization: Bearer {letters}"), "a token"),
            (format!("authorization: \"bearer {letters}\""), "a token"),
            ("GET https://zoom.us/j/91234567890?pwd=s3cret".to_owned(), "a passcode"),
            ("janus+ws://127.0.0.1/?room=1&PIN=1234".to_owned(), "a passcode"),
            (
                "MeetingLink { meeting_id: \"1\", passcode: Some(\"1234\") }".to_owned(),
                "a passcode",
            ),
            (format!("signed sha256={}", "0a".repeat(32)), "a signature"),
            (format!("signed v1,{}=", "A".repeat(43)), "a signature"),
            (format!("order token={letters}xyz done"), "a bot's token"),
        ] {
            assert_eq!(secret(&line), Some(what), "{line}");
        }
    }

    #[test]
    fn what_is_no_secret_is_none() {
        for line in [
            "an API key is needed, as in `Authorization: Bearer mb_live_…`",
            "key mb_test_abcdefgh was revoked",
            "job=job_01KAB1CDEFGHJKMNPQRSTVWXYZ delivery=dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ",
            "https://zoom.us/j/91234567890?pwd=",
            "passcode: None",
            "a whsec_ secret",
        ] {
            assert_eq!(secret(line), None, "{line}");
        }
    }
}
