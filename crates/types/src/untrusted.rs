//! Checks on the parsers of untrusted input: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![expect(clippy::unwrap_used, reason = "what does not hold says where")]
#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    DeliveryId, JobId, Manifest, MeetingLink, Metadata, Platform, Timestamp, WebhookEvent,
    bot::{BotReport, Commands, IngestRequest, NumberedReport},
    link,
    sandbox::{FromBot, FromMeeting},
    signature,
};

const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const BODY: &[u8] = b"{}";
const AT: Timestamp = Timestamp::UNIX_EPOCH;

/// Asserts that an error's text is one line of 10 to 4,000 bytes.
#[track_caller]
fn assert_one_line(error: &str) {
    assert!((10..4_000).contains(&error.len()), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

/// A meeting's link is refused, or reading its normalised form gives the same link.
pub fn link(text: &str) {
    for platform in [None, Some(Platform::Jitsi), Some(Platform::Janus), Some(Platform::Galene)] {
        match MeetingLink::parse(text, platform.as_ref()) {
            Ok(link) => {
                let again = MeetingLink::parse(&link.url, Some(&link.platform));
                if let Ok(again) = again {
                    assert_eq!(again, link);
                } else {
                    // Percent-encoding makes a URL longer than what was given.
                    assert!(link.url.len() > link::MAX_URL_CHARACTERS, "{again:?}");
                }
            }
            Err(error) => assert_one_line(&error.to_string()),
        }
    }
}

/// A time that is read prints as it was read.
pub fn time(text: &str) {
    match text.parse::<Timestamp>() {
        Ok(time) => assert_eq!(time.to_string().parse(), Ok(time)),
        Err(error) => assert_one_line(&error.to_string()),
    }
}

/// An id that is read prints as it was read.
pub fn id(text: &str) {
    match text.parse::<JobId>() {
        Ok(id) => assert_eq!(id.to_string(), text),
        Err(error) => assert_one_line(&error.to_string()),
    }
    if let Ok(id) = text.parse::<DeliveryId>() {
        assert_eq!(id.to_string(), text);
    }
}

/// Metadata are kept to the letter or refused.
pub fn metadata(text: &str) {
    match Metadata::from_json(text) {
        Ok(metadata) => {
            assert_eq!(metadata.as_json(), text.trim_matches([' ', '\t', '\r', '\n']));
            assert_eq!(metadata.to_map().is_empty(), text.trim()[1..].trim_start() == "}");
            let _ = metadata.get("a");
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}

/// A changed signature is never valid.
pub fn signature(header: &str) {
    let right = signature::sign(BODY, SECRET);
    let found = signature::verify(BODY, Some(header), SECRET);
    let same = header.trim().eq_ignore_ascii_case(&right) && header.trim().starts_with("sha256=");
    assert_eq!(found, Ok(same), "{header}");
    assert!(signature::verify(BODY, Some(header), "").is_err());
    let right = signature::sign_standard("dlv_1", AT, BODY, SECRET).unwrap();
    let stamp = AT.as_seconds().to_string();
    let found = signature::verify_standard("dlv_1", &stamp, BODY, header, SECRET);
    let same = header.split_ascii_whitespace().any(|one| one == right);
    assert_eq!(found, Ok(same), "{header}");
}

/// Only the signing secret verifies a signature, and an invalid secret is an error of every function.
pub fn secret(other: &str) {
    let found = signature::verify(BODY, Some(&signature::sign(BODY, SECRET)), other);
    match signature::check_secret(other) {
        Ok(()) => assert_eq!(found, Ok(other.trim() == SECRET)),
        Err(error) => {
            assert_one_line(&error.to_string());
            assert_eq!(found, Err(error));
            assert_eq!(signature::sign_standard("dlv_1", AT, BODY, other), Err(error));
        }
    }
}

/// A value that is read survives a round trip. Returns whether it was read.
fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) -> bool {
    match serde_json::from_str::<T>(text) {
        Ok(value) => {
            let printed = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&printed).unwrap(), value, "{printed}");
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// A message of the sandbox's, or of a bot's to it.
pub fn sandbox(text: &str) -> bool {
    survives::<FromBot>(text) | survives::<FromMeeting>(text)
}

/// A bot's reports or commands. An unreadable report cannot be written.
pub fn reports(text: &str) -> bool {
    let unreadable =
        |report: &NumberedReport| matches!(report.report, BotReport::Unreadable { .. });
    let strange = serde_json::from_str::<IngestRequest>(text)
        .is_ok_and(|request| request.reports.iter().any(unreadable));
    strange || survives::<IngestRequest>(text) | survives::<Commands>(text)
}

/// A manifest.
pub fn manifest(text: &str) -> bool {
    survives::<Manifest>(text)
}

/// A webhook's body.
pub fn webhook(text: &str) -> bool {
    survives::<WebhookEvent>(text)
}

#[cfg(test)]
mod tests {
    use xtask::{hostile_inputs, spec_file};

    use super::*;

    /// Feeds a parser, which has to accept some of the inputs.
    #[track_caller]
    fn feed(corpus: &[&str], parse: fn(&str) -> bool) {
        let mut read = 0;
        hostile_inputs::feed(corpus, |text| read += usize::from(parse(text)));
        assert!(read > 100, "only {read} were read at all");
    }

    #[test]
    fn links_are_read_or_refused_and_what_was_read_reads_the_same_again() {
        let vectors = spec_file::read_json("spec/vectors/meeting_links.json");
        let mut corpus: Vec<&str> = vectors["cases"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|case| case["url"].as_str())
            .collect();
        corpus.extend([
            "https://meet.google.com@evil.example/abc-defg-hij",
            "https://meet.google.com.evil.example/abc-defg-hij",
            "https://evilmeet.jit.si/room",
            "https://sandbox.meetbot.dev:8443/two-speakers",
            "https://sandbox.meetbot.dev./two-speakers?seconds=20",
            "https://www.google.com/url?q=https://www.google.com/url?q=https://zoom.us/j/91234567890",
            "javascript:alert(1)//meet.google.com/abc-defg-hij",
            "file:///etc/passwd",
            "https://[::1]/room",
            "https://xn--zm-fka.us/j/91234567890",
        ]);
        hostile_inputs::feed(&corpus, link);
    }

    #[test]
    fn times_and_ids_that_are_read_print_as_they_were_read() {
        let times = [
            "2026-05-15T14:00:00Z",
            "2026-05-15 14:00:00.123456789+02:00",
            "0000-01-01T00:00:00Z",
            "0000-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59.999-23:59",
            "2016-12-31T23:59:60Z",
            "-000001-01-01T00:00:00Z",
        ];
        hostile_inputs::feed(&times, time);
        let ids = [
            "job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
            "dlv_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "job_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        ];
        hostile_inputs::feed(&ids, id);
    }

    #[test]
    fn metadata_is_stored_unchanged_or_refused() {
        let corpus = [
            r#"{"n":12345678901234567890123,"f":1.50,"z":null,"a":[1,{"b":"é"}]}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":{"a":{"a":{"a":[[[[[[1e400]]]]]]}}}}"#,
            r#"{"a":1,"a":2}"#,
        ];
        hostile_inputs::feed(&corpus, metadata);
    }

    #[test]
    fn no_changed_signature_is_valid() {
        let right = signature::sign(BODY, SECRET);
        let upper = right.to_uppercase().replace("SHA256", "sha256");
        let standard = signature::sign_standard("dlv_1", AT, BODY, SECRET).unwrap();
        let corpus = [
            &*right,
            &*upper,
            "sha256=",
            "sha1=00",
            "v1,AAAA",
            &*standard,
            "v1,AAAA v2,BBBB",
            "v1a,xx",
            "v1,",
        ];
        hostile_inputs::feed(&corpus, signature);
        hostile_inputs::feed(&[SECRET, "whsec_", "whsec_!!!", "x"], secret);
    }

    #[test]
    fn hostile_messages_between_the_programs_are_read_or_refused() {
        feed(
            &[
                r#"{"type":"join","jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","scenario":"two-speakers?seconds=20","name":"meetbot"}"#,
                r#"{"type":"answer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"}"#,
                r#"{"type":"chat","text":"hello"}"#,
                r#"{"type":"request_permission"}"#,
                r#"{"type":"leave"}"#,
                r#"{"type":"refused","code":"host_denied_admission","detail":"no"}"#,
                r#"{"type":"admitted","selfId":"p1","roster":[{"id":"p1","name":"meetbot","isHost":false,"isBot":true}],"recording":"free"}"#,
                r#"{"type":"offer","sdp":"v=0","tracks":[{"mid":"0","participantId":"p2"}]}"#,
                r#"{"type":"caption","speakerId":"p2","speaker":"Alice","beganMsAgo":18446744073709551615,"text":"hi"}"#,
                r#"{"type":"inspection","joins":1,"present":1,"sent":[],"chat":[]}"#,
                r#"{"type":"crash"}"#,
            ],
            sandbox,
        );
        feed(
            &[
                r#"{"jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","epoch":1,"reports":[]}"#,
                r#"{"commands":[{"id":"cmd_01KAB1CDEFGHJKMNPQRSTVWXYZ","seq":1,"action":"send_chat_message","message":"hi"}]}"#,
                r#"{"jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","epoch":4294967295,"reports":[{"seq":18446744073709551615,"at":"2026-05-15T14:00:00Z","report":{"type":"admitted"}}]}"#,
            ],
            reports,
        );
    }

    #[test]
    fn a_changed_vector_is_read_or_refused() {
        let vectors = spec_file::read_json("spec/vectors/models.json");
        let of = |model: &str| {
            let texts: Vec<String> = vectors["cases"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|case| case["model"] == model)
                .map(|case| {
                    case["json"].as_str().map_or_else(|| case["json"].to_string(), str::to_owned)
                })
                .collect();
            assert!(!texts.is_empty(), "{model}");
            texts
        };
        let manifests = of("manifest");
        feed(&manifests.iter().map(String::as_str).collect::<Vec<_>>(), manifest);
        let events = of("webhook_event");
        feed(&events.iter().map(String::as_str).collect::<Vec<_>>(), webhook);
    }
}
