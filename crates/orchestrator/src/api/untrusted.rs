//! Checks on the parsers of requests, settings and webhook URLs: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![expect(clippy::unwrap_used, reason = "what does not hold says where")]
#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use meetbot_types::{
    Availability, DeliveryId, JobId, JobStatus, Platform, RequestId, Timestamp, Via,
    address_policy::{AddressPolicy, Network},
};

use super::{
    admin::bodies,
    caller::bearer,
    error::request_id,
    query::{Query, digits},
    request::idempotency_key,
};
use crate::{
    config::{Config, SettingsFile, parse_listen},
    egress::Guard,
    fields::Ignored,
    jobs::create::{self, CreationRules},
    keys,
    store::{Scope, Window},
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn scenario(scenario: &str) -> Result<(), String> {
    if scenario.starts_with("two-speakers") { Ok(()) } else { Err("no such scenario".into()) }
}

/// The body of a new job: it is parsed into one, or every issue is reported. Returns whether it was valid.
pub fn new_job(body: &str, live: bool) -> bool {
    let address_policy = AddressPolicy { loopback: true, networks: vec![] };
    let guard = Guard::new(address_policy.clone());
    let sandbox = Availability {
        platform: Platform::Sandbox,
        via: Via::Sandbox,
        experimental: false,
        missing: Vec::new(),
    };
    let terms = CreationRules {
        live,
        available: &[sandbox],
        accounts: &[],
        scenario,
        guard: &guard,
        meetings: &address_policy,
        start_within: Duration::from_mins(10),
        now: NOW,
    };
    match create::create(body, &terms) {
        Ok(new) => {
            let printed = serde_json::to_string(&new.job).unwrap();
            let read: meetbot_types::Job = serde_json::from_str(&printed).unwrap();
            assert_eq!(read, new.job);
            let passed_over = new.ignored.header().unwrap_or_default();
            assert!(
                passed_over.len() <= 1024
                    && passed_over.bytes().all(|byte| byte.is_ascii_graphic())
            );
            true
        }
        Err(issues) => {
            assert!(!issues.is_empty() && issues.len() < 60);
            for issue in issues {
                assert!(!issue.code.is_empty() && issue.message.len() > 5, "{issue:?}");
            }
            false
        }
    }
}

/// The bodies of the admin API: each is parsed, or every issue is reported. Returns how many calls accept this one.
pub fn admin_bodies(body: &str) -> usize {
    let key = bodies::new_key(body, Scope::Operator, NOW).map(|(key, _)| {
        let length = key.consumer.chars().count();
        assert!((1..=keys::LONGEST_NAME).contains(&length) && key.consumer.trim() == key.consumer);
        assert!(key.live || !key.scope.is_of_whole_server());
        assert!(key.expires_at.is_none_or(|at| at > NOW));
    });
    let quota = bodies::quota_change(body).map(|(change, _)| {
        assert!(change.bots.or(change.minutes).or(change.queued_jobs).is_some());
    });
    let rotation = bodies::rotation(body).map(|(overlap, _)| {
        assert!(overlap <= Duration::from_hours(90 * 24));
    });
    let read = [key, quota, rotation];
    for issue in read.iter().filter_map(|read| read.as_ref().err()).flatten() {
        assert!(!issue.code.is_empty() && issue.message.len() > 5, "{issue:?}");
    }
    assert!(read.iter().all(|read| read.as_ref().err().is_none_or(|issues| !issues.is_empty())));
    read.iter().filter(|read| read.is_ok()).count()
}

/// Parses a query, or refuses it.
pub fn query(text: &str) {
    let mut query = Query::new(Some(text));
    let _ = query.words("status", JobStatus::known, "a status");
    let _ = query.word("platform", Platform::known, "a platform");
    let _: Option<Timestamp> = query.one("createdAfter", "a time");
    let id: Option<JobId> = query.one("jobId", "a job's id");
    let after = query.number("after");
    let Window { limit, after: cursor }: Window<DeliveryId> = query.window();
    let _ = query.external_id();
    assert!((1..=200).contains(&limit) && after.is_none_or(|after| i64::try_from(after).is_ok()));
    assert!(id.is_none_or(|id| text.contains("jobId") && id.to_string().len() == 30));
    assert!(cursor.is_none_or(|cursor| cursor.to_string().len() == 30));
    let _ = query.finish();
    if let Some(number) = digits(text) {
        assert_eq!(
            number.to_string(),
            text.trim_start_matches('0').to_owned() + if number == 0 { "0" } else { "" }
        );
    }
}

/// Parses headers, or refuses them.
pub fn header(text: &str) {
    assert!(!keys::is_shaped(text) || (text.len() == 56 && text.is_ascii()));
    let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value.clone());
    if let Ok(token) = bearer(&headers) {
        assert!(text.ends_with(token) || text.trim_end().ends_with(token), "{token}");
    }
    headers.insert("idempotency-key", value.clone());
    if let Ok(Some(idempotency)) =
        idempotency_key(&headers, "POST", "/api/v1/jobs", "{}", &Ignored::default())
    {
        assert!(
            (1..=255).contains(&idempotency.key.len())
                && idempotency.key.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        );
    }
    let id = request_id(Some(&value), || RequestId::generate(NOW));
    assert!(id == text || id.starts_with("req_"));
    assert!(id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()));
}

/// No spelling of a private address passes the guard. Answers whether the URL passed.
pub fn webhook_url(text: &str) -> bool {
    let address_policy = AddressPolicy::default();
    let passes = Guard::new(address_policy.clone()).check(text).is_ok();
    if passes {
        let url = url::Url::parse(text).unwrap();
        assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty());
        let address = url.host_str().unwrap().trim_matches(['[', ']']).parse();
        assert!(address.is_err() || address_policy.allows(address.unwrap()), "{url}");
    }
    passes
}

/// A network of the settings.
pub fn network(text: &str) {
    if let Ok(network) = text.parse::<Network>() {
        let _ =
            AddressPolicy { loopback: false, networks: vec![network] }.allows([10, 0, 0, 1].into());
    }
}

/// Parses settings, or refuses them.
pub fn settings(text: &str) {
    if let Err(error) = Config::load(Some(SettingsFile { name: "a file", text }), |_| None) {
        assert!(error.to_string().len() > 10);
    }
    if let Err(error) =
        Config::load(None, |name| (name != "MEETBOT_SERVER_DATA_DIR").then(|| text.to_owned()))
    {
        assert!(error.to_string().len() > 10);
    }
}

/// Parses an address to listen on, whose text form can be parsed again.
pub fn listen(text: &str) {
    if let Ok(address) = parse_listen(text) {
        assert_eq!(parse_listen(&address.to_string()), Ok(address));
    }
}

#[cfg(test)]
mod tests {
    use xtask::hostile_inputs;

    use super::*;

    #[test]
    fn bodies_of_new_jobs_are_parsed_or_all_issues_are_reported() {
        let whole = r#"{"meetingUrl":"https://sandbox.meetbot.dev/two-speakers?seconds=5","externalId":"a-1","platform":"sandbox","displayName":"Notes","joinAt":"1970-01-01T00:00:00Z","webhooks":{"onFinalize":"https://example.com/a","onStatusChange":null},"metadata":{"n":[1,2.5e3,"x"]},"autoLeave":{"afterSoloSeconds":60,"afterMaxSeconds":null,"onBotDetected":true}}"#;
        let corpus = [
            whole,
            r#"{"meetingUrl":"https://meet.google.com/abc-defg-hij"}"#,
            r#"{"a colour":"any","metadata":{"note":"long enough that most changes of one place are here","more":[[[1.5,2,3,4]],{"join_at":1}]},"meetingUrl":"https://sandbox.meetbot.dev/two-speakers"}"#,
            r#"{"meetingUrl":1,"meetingUrl":2,"__proto__":{"a":1}}"#,
            "[]",
        ];
        let (mut made, mut refused) = (0, 0);
        for live in [true, false] {
            hostile_inputs::feed(&corpus, |body| {
                if new_job(body, live) {
                    made += 1;
                } else {
                    refused += 1;
                }
            });
        }
        assert!(made > 300 && refused > 500, "{made} jobs, {refused} refusals");
    }

    #[test]
    fn bodies_of_the_admin_api_are_parsed_or_all_issues_are_reported() {
        let corpus = [
            r#"{"consumer":"acme","live":true,"scope":"operator","expiresAt":"2027-01-31T18:00:00Z"}"#,
            r#"{"consumer":" \u200b ","live":false,"scope":"operator","expiresAt":null}"#,
            r#"{"bots":1,"minutes":"none","queuedJobs":"default"}"#,
            r#"{"bots":4294967295.0,"minutes":null,"queuedJobs":1e3}"#,
            r#"{"overlapSeconds":86400,"note":"any"}"#,
            "[]",
        ];
        let mut taken = 0;
        hostile_inputs::feed(&corpus, |body| taken += admin_bodies(body));
        assert!(taken > 300, "{taken}");
    }

    #[test]
    fn queries_are_parsed_strictly_or_refused() {
        let corpus = [
            "status=queued&status=failed&platform=jitsi&limit=200&cursor=job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
            "createdAfter=2026-05-15T14%3A00%3A00%2B02%3A00&externalId=a%20b",
            "limit=0&limit=1&&=&%",
        ];
        hostile_inputs::feed(&corpus, query);
    }

    #[test]
    fn headers_are_parsed_or_refused() {
        let key = format!("mb_test_{}", "a1B2c3D4".repeat(6));
        let corpus =
            [&*key, "Bearer mb_live_", "bearer  x", "Basic dXNlcjpwYXNz", "idem-1", "req_1.a-B"];
        hostile_inputs::feed(&corpus, header);
    }

    #[test]
    fn no_spelling_of_a_private_address_passes_the_guard() {
        let corpus = [
            "http://127.0.0.1/",
            "http://2130706433",
            "http://0x7f.1",
            "http://0177.0.0.1",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:7f00:1]:80/x",
            "https://169.254.169.254/latest/meta-data",
            "http://10.0.0.1#@example.com",
            "http://example.com@10.0.0.1/",
            "http://[fd00::1]/",
            "http://0/",
            "https://example.com/hook?a=b",
        ];
        let mut passed = 0;
        hostile_inputs::feed(&corpus, |text| passed += usize::from(webhook_url(text)));
        assert!(passed > 50, "{passed}");
        let networks = ["10.0.0.0/8", "fd00::/8", "::/0", "0.0.0.0/0", "1.2.3.4/33", "1.2.3.4/+8"];
        hostile_inputs::feed(&networks, network);
    }

    #[test]
    fn settings_are_parsed_or_refused() {
        let corpus = [
            crate::config::DEFAULT,
            "[server]\nlisten = \"127.0.0.1:0\"\n[bots]\nmax = 7\nstart_within_seconds = 9\n[webhooks]\nallow_networks = [\"10.0.0.0/8\"]",
            "[bots]\nmax = -1",
            "server = 1",
            "[server.listen]\n",
            "[bots]\nmax = 99999999999999999999",
        ];
        hostile_inputs::feed(&corpus, settings);
        hostile_inputs::feed(
            &["127.0.0.1:3010", "[::]:3010", "localhost:0", "localhost:65536"],
            listen,
        );
    }
}
