//! Parses the body of `POST /api/v1/jobs`. Pure; all issues are reported together.

mod values;

use std::time::Duration;

use meetbot_types::{
    AddressPolicy, Availability, Issue, Job, JobId, JobStatus, MeetingLink, Platform, Recording,
    Timestamp, sandbox,
};
use serde_json::Map;

use super::record::Start;
use crate::{
    accounts::AccountChoice,
    egress::Guard,
    fields::{Fields, Ignored, Issues, NEW_JOB},
};

pub(crate) const MAX_EXTERNAL_ID: usize = 255;
/// How long the scenario without workers takes to fail.
const NO_WORKER_WAIT: Duration = Duration::from_secs(1);
const DEFAULT_NAME: &str = "meetbot";

/// What a request is judged by.
pub(crate) struct CreationRules<'a> {
    /// Whether it came with a live key.
    pub live: bool,
    /// The ways into meetings for the key's jobs.
    pub available: &'a [Availability],
    /// The accounts of the settings, as they are for the key's consumer.
    pub accounts: &'a [AccountChoice],
    /// Whether the sandbox can play a scenario.
    pub scenario: fn(&str) -> Result<(), String>,
    /// Which addresses webhooks may go to.
    pub guard: &'a Guard,
    /// Where meetings may be.
    pub meetings: &'a AddressPolicy,
    /// How long a job may wait for a worker.
    pub start_within: Duration,
    /// Now.
    pub now: Timestamp,
}

/// A new job, as it is stored.
#[derive(Debug)]
pub(crate) struct New {
    /// The job, with all defaults filled in.
    pub job: Job,
    /// Its meeting.
    pub link: MeetingLink,
    /// When its bot is to start.
    pub start: Start,
    /// The fields that were passed over.
    pub ignored: Ignored,
}

/// Reads a body into a job. `null` is the same as absent (but in `autoLeave`).
pub(crate) fn create(body: &str, terms: &CreationRules<'_>) -> Result<New, Vec<Issue>> {
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let platform = values::platform(&fields, &mut issues);
    let link = values::meeting(&fields, platform.as_ref(), terms, &mut issues);
    let external_id = values::external_id(&fields, &mut issues);
    let display_name = values::display_name(&fields, &mut issues);
    let join_at = values::join_at(&fields, terms.now, &mut issues);
    let webhooks = values::webhooks(&fields, terms.guard, &mut issues);
    let metadata = values::metadata(&fields, &mut issues);
    let auto_leave = values::auto_leave(&fields, &mut issues);
    let record_video = values::record_video(&fields, &mut issues);
    let platform = link.as_ref().map(|(link, _)| &link.platform);
    let account = values::account(&fields, platform, terms, &mut issues);
    NEW_JOB.check_names(&fields, &mut issues, &mut ignored);
    let (Some((link, meeting_url)), true) = (link, issues.is_empty()) else {
        return Err(issues.into_vec());
    };
    let now = terms.now;
    let scheduled = join_at.is_some_and(|at| at > now);
    let job = Job {
        id: JobId::generate(now),
        external_id,
        meeting_url,
        platform: link.platform.clone(),
        display_name: display_name.unwrap_or_else(|| DEFAULT_NAME.to_owned()),
        status: JobStatus::Queued,
        status_detail: scheduled.then(|| "scheduled".to_owned()),
        recording: Recording::default(),
        join_at,
        webhooks,
        metadata,
        auto_leave,
        record_video,
        account,
        attempt: 0,
        leave_reason: None,
        failure_code: None,
        failure_detail: None,
        manifest_uri: None,
        created_at: now,
        updated_at: now,
        joined_at: None,
        ended_at: None,
        extra: Map::new(),
    };
    let start = start(&job, &link, terms);
    Ok(New { job, link, start, ignored })
}

/// A job is due at its time; the scenario without workers never is, and fails soon.
fn start(job: &Job, link: &MeetingLink, terms: &CreationRules<'_>) -> Start {
    let from = job.join_at.unwrap_or(job.created_at).max(terms.now);
    let scenario = scenario(link, terms.live);
    if scenario.is_some_and(|scenario| scenario.split('?').next() == Some(sandbox::NO_WORKER)) {
        return Start { from: Timestamp::from_millis(i64::MAX), by: from + NO_WORKER_WAIT };
    }
    Start { from, by: from + terms.start_within }
}

/// The scenario that the sandbox plays for a job, if it is the sandbox's.
pub(crate) fn scenario(link: &MeetingLink, live: bool) -> Option<String> {
    match link.platform {
        Platform::Sandbox => Some(link.meeting_id.clone()),
        _ if !live => Some(sandbox::DEFAULT_SCENARIO.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::{AutoLeave, Missing, Via, availability::with_test_key};
    use serde_json::json;

    use super::*;
    use crate::accounts::AccountRefusal;

    const NOW: i64 = 1_800_000_000_000;

    fn scenario(scenario: &str) -> Result<(), String> {
        if scenario.starts_with("two-speakers") { Ok(()) } else { Err("no such scenario".into()) }
    }

    fn way(platform: Platform, missing: &[&str]) -> Availability {
        let missing = missing.iter().map(|what| Missing {
            code: "missing".to_owned(),
            message: format!("{what} is missing"),
        });
        let missing = missing.collect();
        Availability { platform, via: Via::Native, experimental: false, missing }
    }

    fn issues(live: bool, available: &[Availability], body: &str) -> Result<New, Vec<Issue>> {
        let played = with_test_key(available);
        let choice = |name: &str, code: Option<&'static str>| AccountChoice {
            name: name.to_owned(),
            refusal: code.map(|code| AccountRefusal { code, message: "not this one".to_owned() }),
        };
        let terms = CreationRules {
            live,
            available: if live { available } else { &played },
            accounts: &[choice("notes", None), choice("desk", Some("account_not_allowed"))],
            scenario,
            guard: &Guard::new(AddressPolicy::default()),
            meetings: &AddressPolicy {
                loopback: false,
                networks: vec!["10.1.0.0/16".parse().unwrap()],
            },
            start_within: Duration::from_mins(10),
            now: Timestamp::from_millis(NOW),
        };
        create(body, &terms)
    }

    fn read(live: bool, body: &str) -> Result<New, Vec<String>> {
        let available = [way(Platform::Sandbox, &[]), way(Platform::Janus, &[])];
        issues(live, &available, body).map_err(|issues| {
            issues.iter().map(|issue| format!("{} {}", issue.path.join("."), issue.code)).collect()
        })
    }

    #[test]
    fn an_unavailable_platform_is_refused_with_the_missing_requirement() {
        let body = r#"{"meetingUrl":"https://meet.google.com/abc-defg-hij"}"#;
        let google = |missing| way(Platform::GoogleMeet, missing);
        let message = |available: &[Availability]| {
            issues(true, available, body).unwrap_err()[0].message.clone()
        };
        let janus = way(Platform::Janus, &[]);
        assert_eq!(
            message(&[janus.clone(), google(&["a browser", "a key"])]),
            "google-meet is recognised, but no bot of this server can join it; it can join janus; a browser is missing; a key is missing"
        );
        assert_eq!(
            message(&[]),
            "google-meet is recognised, but no bot of this server can join it; it can join none; this version of meetbot has no bot for google-meet"
        );
        // One of two ways is enough.
        assert!(issues(true, &[google(&["a browser"]), google(&[])], body).is_ok());
    }

    #[test]
    fn an_account_is_for_live_jobs_of_google_meet_and_must_be_set_up_for_the_consumer() {
        const MEET: &str = "https://meet.google.com/abc-defg-hij";
        let available = [Platform::Sandbox, Platform::Janus, Platform::GoogleMeet];
        let available = available.map(|platform| way(platform, &[]));
        for (live, url, account, code) in [
            (true, MEET, json!("notes"), None),
            (true, MEET, json!(null), None),
            (true, MEET, json!("desk"), Some("account_not_allowed")),
            (true, MEET, json!("other"), Some("unknown_account")),
            (true, MEET, json!(""), Some("too_short")),
            (true, MEET, json!(5), Some("invalid_type")),
            (true, MEET, json!("n".repeat(41)), Some("too_long")),
            (true, "janus+ws://a.example/?room=1", json!("notes"), Some("account_not_supported")),
            (
                true,
                "https://sandbox.meetbot.dev/two-speakers",
                json!("notes"),
                Some("account_not_supported"),
            ),
            (false, MEET, json!("notes"), Some("account_not_supported")),
        ] {
            let body = json!({"meetingUrl": url, "account": account}).to_string();
            match (issues(live, &available, &body), code) {
                (Ok(new), None) => assert_eq!(new.job.account.as_deref(), account.as_str()),
                (Err(issues), Some(code)) => {
                    assert_eq!(issues[0].path, ["account"]);
                    assert_eq!((issues.len(), issues[0].code.as_str()), (1, code), "{issues:?}");
                }
                (other, code) => panic!("{url} {account}: {other:?}, not {code:?}"),
            }
        }
    }

    #[test]
    fn a_minimal_body_gets_every_default() {
        let New { job, link, .. } =
            read(true, r#"{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers?seconds=5"}"#)
                .unwrap();
        assert_eq!(job.display_name, "meetbot");
        assert_eq!((job.auto_leave, job.record_video), (AutoLeave::default(), None));
        assert_eq!(job.metadata.as_json(), "{}");
        assert_eq!((job.status.as_str(), job.status_detail, job.join_at), ("queued", None, None));
        assert_eq!(link.meeting_id, "two-speakers?seconds=5");
    }

    #[test]
    fn all_problems_of_a_body_are_reported_together() {
        let body = json!({
            "meetingUrl": "not a url", "externalId": "", "displayName": "x".repeat(101), "joinAt": "2026-12-01T10:00:00",
            "platform": "skype", "webhooks": {"onFinalize": "ftp://example.com", "onStatusChange": 5},
            "metadata": [1], "recordVideo": "yes", "autoLeave": {"afterSoloSeconds": -5, "afterMaxSeconds": 0, "afterSilenceSeconds": 1.5, "onBotDetected": "yes"},
        });
        let problems = read(true, &body.to_string()).unwrap_err();
        let expected = [
            "platform unknown_platform",
            "meetingUrl invalid_url",
            "externalId too_short",
            "displayName too_long",
            "joinAt invalid_time",
            "webhooks.onStatusChange invalid_type",
            "webhooks.onFinalize invalid_url",
            "metadata invalid_type",
            "autoLeave.afterSilenceSeconds out_of_range",
            "autoLeave.afterSoloSeconds out_of_range",
            "autoLeave.afterMaxSeconds out_of_range",
            "autoLeave.onBotDetected invalid_type",
            "recordVideo invalid_type",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction() {
        let with = |seconds: &str| {
            read(
                true,
                &format!(
                    r#"{{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers","autoLeave":{{"afterSoloSeconds":{seconds}}}}}"#
                ),
            )
        };
        for (seconds, read) in [("60", 60), ("60.0", 60), ("8.64e4", 86_400)] {
            assert_eq!(with(seconds).unwrap().job.auto_leave.after_solo_seconds, Some(read));
        }
        for seconds in ["0", "-0.0", "60.5", "86401", "1e300", "18446744073709551615"] {
            assert_eq!(with(seconds).unwrap_err(), ["autoLeave.afterSoloSeconds out_of_range"]);
        }
    }

    #[test]
    fn a_field_that_cannot_be_read_is_not_treated_as_absent() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for unreadable in ["1e400", deep.as_str()] {
            let fields =
                ["meetingUrl", "externalId", "joinAt", "webhooks", "metadata", "autoLeave"];
            let body: Vec<_> =
                fields.iter().map(|field| format!("{field:?}:{unreadable}")).collect();
            let problems = read(true, &format!("{{{}}}", body.join(","))).unwrap_err();
            assert_eq!(problems, fields.map(|field| format!("{field} invalid_type")));
        }
    }

    #[test]
    fn a_body_that_is_not_an_object_is_one_issue() {
        for body in ["", "[]", "{", "\"x\"", "null"] {
            assert_eq!(read(true, body).unwrap_err(), [" invalid_json"], "{body}");
        }
    }

    #[test]
    fn a_platform_without_bots_is_refused_for_a_live_key_and_played_for_a_test_key() {
        let body = r#"{"meetingUrl":"https://meet.google.com/abc-defg-hij"}"#;
        assert_eq!(read(true, body).unwrap_err(), ["meetingUrl platform_not_available"]);
        assert_eq!(read(false, body).unwrap().job.platform, Platform::GoogleMeet);
        let body = r#"{"meetingUrl":"https://example.com/room"}"#;
        assert_eq!(read(false, body).unwrap_err(), ["meetingUrl unknown_platform"]);
    }

    #[test]
    fn a_test_key_is_refused_without_a_sandbox() {
        let sandbox = way(Platform::Sandbox, &["a socket"]);
        for url in ["https://meet.google.com/abc-defg-hij", "https://sandbox.meetbot.dev/ends"] {
            let body = json!({"meetingUrl": url}).to_string();
            let refused = issues(false, std::slice::from_ref(&sandbox), &body).unwrap_err();
            assert_eq!(refused[0].code, "platform_not_available", "{refused:?}");
            assert!(refused[0].message.contains("a socket is missing"), "{refused:?}");
        }
    }

    #[test]
    fn a_meetings_address_must_be_public_or_in_a_listed_network() {
        for (host, allowed) in [
            ("janus.example.com", true),
            ("93.184.216.34", true),
            ("10.1.2.3:8188", true),
            ("10.2.0.1", false),
            ("2130706433", false),
            ("0x7f.1", false),
            ("[::1]", false),
            ("[::ffff:10.2.0.1]", false),
        ] {
            let body = json!({"meetingUrl": format!("janus+ws://{host}/?room=1")}).to_string();
            let read = read(true, &body).map(|_| ());
            let refused = Err(vec!["meetingUrl address_not_allowed".to_owned()]);
            assert_eq!(read, if allowed { Ok(()) } else { refused }, "{host}");
        }
    }

    #[test]
    fn no_spelling_of_a_private_address_is_accepted_as_a_meetings_host() {
        for host in crate::webhooks::spellings::LITERALS {
            let body = json!({"meetingUrl": format!("janus+ws://{host}/?room=1")}).to_string();
            assert!(read(true, &body).is_err(), "{host:?}");
        }
    }

    #[test]
    fn metadata_is_stored_unchanged_and_bounded() {
        let metadata = r#"{"n": 12345678901234567890123, "f": 1.50}"#;
        let body = format!(
            r#"{{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers","metadata":{metadata}}}"#
        );
        assert_eq!(read(true, &body).unwrap().job.metadata.as_json(), metadata);
        let large = json!({"meetingUrl": "https://sandbox.meetbot.dev/two-speakers", "metadata": {"x": "y".repeat(20_000)}});
        assert_eq!(read(true, &large.to_string()).unwrap_err(), ["metadata too_large"]);
    }

    #[test]
    fn join_at_is_bounded_and_a_past_time_means_now() {
        let with = |at: &str| {
            read(
                true,
                &json!({"meetingUrl": "https://sandbox.meetbot.dev/two-speakers", "joinAt": at})
                    .to_string(),
            )
        };
        assert_eq!(with("2020-01-01T00:00:00Z").unwrap().job.status_detail, None);
        assert_eq!(
            with("2027-02-01T00:00:00+02:00").unwrap().job.status_detail.as_deref(),
            Some("scheduled")
        );
        assert_eq!(with("2029-01-01T00:00:00Z").unwrap_err(), ["joinAt too_far"]);
    }

    #[test]
    fn an_unknown_scenario_is_refused() {
        let body = r#"{"meetingUrl":"https://sandbox.meetbot.dev/moon-landing"}"#;
        assert_eq!(read(false, body).unwrap_err(), ["meetingUrl invalid_scenario"]);
    }

    #[test]
    fn a_webhook_url_is_stored_in_its_normalized_form() {
        for (sent, stored) in [
            ("https://a.example/f", "https://a.example/f"),
            ("https://a.example", "https://a.example/"),
            (" HTTPS://A.example:443/a b\n", "https://a.example/a%20b"),
            (
                "https://a.example/\u{1b}[2J\t\u{9b}\u{202e}?\u{85}#\u{2028}",
                "https://a.example/%1B[2J%C2%9B%E2%80%AE?%C2%85#%E2%80%A8",
            ),
        ] {
            let body = json!({
                "meetingUrl": "https://sandbox.meetbot.dev/two-speakers",
                "webhooks": {"onFinalize": sent, "onStatusChange": sent},
            });
            let job = read(true, &body.to_string()).unwrap().job;
            let found = [job.webhooks.on_finalize, job.webhooks.on_status_change];
            assert_eq!(found.map(Option::unwrap), [stored, stored], "{sent:?}");
        }
    }
}
