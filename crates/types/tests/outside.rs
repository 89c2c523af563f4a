//! What meets the outside: nasty inputs for every parser of the vocabulary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use meetbot_types::{
    DeliveryId, JobId, Manifest, MeetingLink, Metadata, Platform, Timestamp, WebhookEvent,
    bot::IngestRequest,
    sandbox::{FromBot, FromMeeting},
    signature,
};
use serde::{Serialize, de::DeserializeOwned};
use xtask::{nasty, spec_file};

/// Everything said of what is wrong is short and says something.
#[track_caller]
fn tells(error: &str) {
    assert!((10..4_000).contains(&error.len()), "{error}");
    assert!(!error.contains('\n'), "{error}");
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
    for platform in [None, Some(Platform::Jitsi), Some(Platform::Janus), Some(Platform::Galene)] {
        nasty::feed(&corpus, |text| match MeetingLink::parse(text, platform.as_ref()) {
            Ok(link) => {
                let again = MeetingLink::parse(&link.url, Some(&link.platform));
                if let Ok(again) = again {
                    assert_eq!(again, link);
                } else {
                    // Percent-encoding makes a URL longer than what was given.
                    assert!(link.url.len() > meetbot_types::link::MAX_URL_CHARACTERS, "{again:?}");
                }
            }
            Err(error) => tells(&error.to_string()),
        });
    }
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
    nasty::feed(&times, |text| match text.parse::<Timestamp>() {
        Ok(time) => assert_eq!(time.to_string().parse(), Ok(time)),
        Err(error) => tells(&error.to_string()),
    });
    let ids = [
        "job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
        "dlv_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "job_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    ];
    nasty::feed(&ids, |text| {
        match text.parse::<JobId>() {
            Ok(id) => assert_eq!(id.to_string(), text),
            Err(error) => tells(&error.to_string()),
        }
        if let Ok(id) = text.parse::<DeliveryId>() {
            assert_eq!(id.to_string(), text);
        }
    });
}

#[test]
fn metadata_is_kept_to_the_letter_or_refused() {
    let corpus = [
        r#"{"n":12345678901234567890123,"f":1.50,"z":null,"a":[1,{"b":"é"}]}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":{"a":{"a":{"a":[[[[[[1e400]]]]]]}}}}"#,
        r#"{"a":1,"a":2}"#,
    ];
    nasty::feed(&corpus, |text| {
        if let Ok(metadata) = Metadata::from_json(text) {
            assert_eq!(metadata.as_json(), text.trim_matches([' ', '\t', '\r', '\n']));
            assert_eq!(metadata.to_map().is_empty(), text.trim()[1..].trim_start() == "}");
            let _ = metadata.get("a");
        }
    });
}

#[test]
fn no_changed_signature_is_a_right_one() {
    let secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (body, at) = (&b"{}"[..], Timestamp::from_millis(1_800_000_000_000));
    let right = signature::sign(body, secret);
    let upper = right.to_uppercase().replace("SHA256", "sha256");
    nasty::feed(&[&right, &upper, "sha256=", "sha1=00", "v1,AAAA"], |header| {
        let found = signature::verify(body, Some(header), secret);
        assert_eq!(
            found,
            header.trim().eq_ignore_ascii_case(&right) && header.trim().starts_with("sha256="),
            "{header}"
        );
        assert!(!signature::verify(body, Some(header), ""));
    });
    let right = signature::sign_standard("dlv_1", at, body, secret).unwrap();
    let stamp = at.as_seconds().to_string();
    nasty::feed(&[&right, "v1,AAAA v2,BBBB", "v1a,xx", "v1,"], |header| {
        let found = signature::verify_standard("dlv_1", &stamp, body, header, secret);
        assert_eq!(found, header.split_ascii_whitespace().any(|one| one == right), "{header}");
    });
    nasty::feed(&[secret, "whsec_", "whsec_!!!", "x"], |other| {
        let _ = signature::sign_standard("dlv_1", at, body, other);
        assert_eq!(
            signature::verify(body, Some(&signature::sign(body, secret)), other),
            other == secret
        );
    });
}

/// What is read prints, and reads the same again.
fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(corpus: &[&str]) {
    let mut read = 0;
    nasty::feed(corpus, |text| match serde_json::from_str::<T>(text) {
        Ok(value) => {
            read += 1;
            let printed = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&printed).unwrap(), value, "{printed}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
    assert!(read > 100, "only {read} were read at all");
}

#[test]
fn messages_between_the_programs_are_read_or_refused() {
    survives::<FromBot>(&[
        r#"{"type":"join","jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","scenario":"two-speakers?seconds=20","name":"meetbot"}"#,
        r#"{"type":"answer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"}"#,
        r#"{"type":"chat","text":"hello"}"#,
        r#"{"type":"request_permission"}"#,
        r#"{"type":"leave"}"#,
    ]);
    survives::<FromMeeting>(&[
        r#"{"type":"refused","code":"host_denied_admission","detail":"no"}"#,
        r#"{"type":"admitted","selfId":"p1","roster":[{"id":"p1","name":"meetbot","isHost":false,"isBot":true}],"recording":"free"}"#,
        r#"{"type":"offer","sdp":"v=0","tracks":[{"mid":"0","participantId":"p2"}]}"#,
        r#"{"type":"caption","speakerId":"p2","speaker":"Alice","beganMsAgo":18446744073709551615,"text":"hi"}"#,
        r#"{"type":"inspection","joins":1,"present":1,"sent":[],"chat":[]}"#,
        r#"{"type":"crash"}"#,
    ]);
    survives::<IngestRequest>(&[
        r#"{"jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","epoch":1,"reports":[]}"#,
        r#"{"jobId":"job_01KAB1CDEFGHJKMNPQRSTVWXYZ","epoch":4294967295,"reports":[{"seq":18446744073709551615,"at":"2026-05-15T14:00:00Z","report":{"type":"admitted"}}]}"#,
    ]);
}

#[test]
fn what_a_vector_shows_survives_any_change_or_is_refused() {
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
    survives::<Manifest>(&manifests.iter().map(String::as_str).collect::<Vec<_>>());
    let events = of("webhook_event");
    survives::<WebhookEvent>(&events.iter().map(String::as_str).collect::<Vec<_>>());
}
