//! Parses the bodies of the admin calls. Pure; all issues of a body are reported together.

use std::{num::NonZeroU32, time::Duration};

use meetbot_types::{
    Issue, Labels, QuotaLimit, Timestamp,
    admin::{self, DEFAULT_OVERLAP_SECONDS, LIMIT_WANTED, LONGEST_OVERLAP_SECONDS},
    labels::InvalidLabels,
    time::InvalidTimestamp,
    visible::is_blank,
};
use serde_json::Value;

use crate::{
    fields::{Fields, Ignored, Issues, NEW_KEY, QUOTA_CHANGE, SECRET_ROTATION},
    keys::LONGEST_NAME,
    store::Scope,
};

/// The key that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) struct AskedKey {
    pub(in crate::api) consumer: String,
    pub(in crate::api) live: bool,
    pub(in crate::api) scope: Scope,
    pub(in crate::api) expires_at: Option<Timestamp>,
}

/// Reads the key that a caller with the scope `own` asks for, and the names of ignored fields.
pub(in crate::api) fn new_key(
    body: &str,
    own: Scope,
    now: Timestamp,
) -> Result<(AskedKey, Ignored), Vec<Issue>> {
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let consumer = consumer(&fields, &mut issues);
    let live =
        match fields.required("live", "true (real meetings) or false (the sandbox)", &mut issues) {
            Some(Value::Bool(live)) => Some(live),
            Some(_) => {
                issues.wrong_type(&["live"], "true or false");
                None
            }
            None => None,
        };
    let scope = scope(&fields, own, &mut issues);
    if let Some(scope) = scope.filter(|scope| scope.is_of_whole_server() && live == Some(false)) {
        let message = format!(
            "must be true for the scope {scope}: it is about the whole server, and a test key reaches the test world alone"
        );
        issues.add(&["live"], "live_required", message);
    }
    let expires_at = expires_at(&fields, now, &mut issues);
    NEW_KEY.check_names(&fields, &mut issues, &mut ignored);
    match (consumer, live, scope) {
        (Some(consumer), Some(live), Some(scope)) if issues.is_empty() => {
            Ok((AskedKey { consumer, live, scope, expires_at }, ignored))
        }
        _ => Err(issues.into_vec()),
    }
}

fn consumer(fields: &Fields<'_>, issues: &mut Issues) -> Option<String> {
    const NAME: &str = "consumer";
    if fields.raw(NAME).is_none() {
        issues.add(&[NAME], "required", "is required: the name of the consumer that gets the key");
    }
    let name = fields.text(NAME, LONGEST_NAME, issues)?;
    let name = name.trim();
    if is_blank(name) {
        issues.add(&[NAME], "too_short", "must hold at least one visible character");
        return None;
    }
    Some(name.to_owned())
}

fn scope(fields: &Fields<'_>, own: Scope, issues: &mut Issues) -> Option<Scope> {
    const FIELD: &[&str] = &["scope"];
    if fields.raw("scope").is_none() {
        return Some(Scope::Write);
    }
    let Value::String(word) = fields.value("scope", issues)? else {
        issues.wrong_type(FIELD, "a string");
        return None;
    };
    let Some(scope) = Scope::known(&word) else {
        let known = Scope::ALL.map(Scope::as_str).join(", ");
        issues.add(FIELD, "unknown_scope", format!("{word:?} is none of {known}"));
        return None;
    };
    if !own.includes(scope) {
        let message = format!("is more than the scope of the key that asks, which is {own}");
        issues.add(FIELD, "scope_too_high", message);
        return None;
    }
    Some(scope)
}

fn expires_at(fields: &Fields<'_>, now: Timestamp, issues: &mut Issues) -> Option<Timestamp> {
    const FIELD: &[&str] = &["expiresAt"];
    let Value::String(text) = fields.value("expiresAt", issues)? else {
        issues.wrong_type(FIELD, "a string with an RFC 3339 time");
        return None;
    };
    match text.parse::<Timestamp>() {
        Ok(at) if at > now => return Some(at),
        Ok(at) => issues.add(FIELD, "invalid_time", format!("{at} is over")),
        Err(error @ InvalidTimestamp::Malformed) => {
            issues.add(FIELD, "invalid_time", format!("is {error}; the offset is required"));
        }
        Err(error) => issues.add(FIELD, "invalid_time", format!("is {error}")),
    }
    None
}

/// Reads a change of a quota, and the names of ignored fields.
pub(in crate::api) fn quota_change(
    body: &str,
) -> Result<(admin::QuotaChange, Ignored), Vec<Issue>> {
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let mut limit = |name: &str| {
        // `null` in a response means no limit, but in a request it could be taken for no change.
        if fields.is_null(name) {
            issues.wrong_type(&[name], LIMIT_WANTED);
        }
        let value = fields.value(name, &mut issues)?;
        let limit = read_limit(&value);
        if limit.is_none() {
            let code = if value.is_number() { "out_of_range" } else { "invalid_type" };
            issues.add(&[name], code, format!("must be {LIMIT_WANTED}"));
        }
        limit
    };
    let change = admin::QuotaChange {
        bots: limit("bots"),
        minutes: limit("minutes"),
        queued_jobs: limit("queuedJobs"),
        worker_labels: worker_labels(&fields, &mut issues),
    };
    QUOTA_CHANGE.check_names(&fields, &mut issues, &mut ignored);
    if issues.is_empty() && change == admin::QuotaChange::default() {
        issues.add(
            &[],
            "required",
            "at least one of bots, minutes, queuedJobs and workerLabels is required",
        );
    }
    if issues.is_empty() { Ok((change, ignored)) } else { Err(issues.into_vec()) }
}

fn worker_labels(fields: &Fields<'_>, issues: &mut Issues) -> Option<Labels> {
    const NAME: &str = "workerLabels";
    const WANTED: &str = "a list of strings; [] lets any worker run the bots";
    if fields.is_null(NAME) {
        issues.wrong_type(&[NAME], WANTED);
    }
    let Ok(texts) = serde_json::from_value::<Vec<String>>(fields.value(NAME, issues)?) else {
        issues.wrong_type(&[NAME], WANTED);
        return None;
    };
    match Labels::read(texts) {
        Ok(labels) => return Some(labels),
        Err(error @ InvalidLabels::TooMany(_)) => {
            issues.add(&[NAME], "too_many_items", error.to_string());
        }
        Err(error) => issues.add(&[NAME], "invalid_label", error.to_string()),
    }
    None
}

fn read_limit(value: &Value) -> Option<QuotaLimit> {
    match value {
        Value::Number(_) => whole(value, u32::MAX).and_then(NonZeroU32::new).map(QuotaLimit::Limit),
        // A number has to be a JSON number, not a string.
        Value::String(word) => {
            word.parse().ok().filter(|limit| !matches!(limit, QuotaLimit::Limit(_)))
        }
        _ => None,
    }
}

/// An integer of at most `most`. In JSON 60 and 60.0 are the same number.
fn whole(value: &Value, most: u32) -> Option<u32> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
    let within = (0.0..=f64::from(most)).contains(&number);
    // -0 equals 0 but is written differently.
    within.then(|| number.abs().to_string().parse().ok()).flatten()
}

/// Reads how long the previous secret stays valid, and the names of ignored fields.
pub(in crate::api) fn rotation(body: &str) -> Result<(Duration, Ignored), Vec<Issue>> {
    const NAME: &str = "overlapSeconds";
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let seconds = match fields.value(NAME, &mut issues) {
        None => Some(DEFAULT_OVERLAP_SECONDS),
        Some(value) => {
            let seconds = whole(&value, LONGEST_OVERLAP_SECONDS);
            if seconds.is_none() {
                let code = if value.is_number() { "out_of_range" } else { "invalid_type" };
                let message = format!("must be a whole number from 0 to {LONGEST_OVERLAP_SECONDS}");
                issues.add(&[NAME], code, message);
            }
            seconds
        }
    };
    SECRET_ROTATION.check_names(&fields, &mut issues, &mut ignored);
    match seconds {
        Some(seconds) if issues.is_empty() => Ok((Duration::from_secs(seconds.into()), ignored)),
        _ => Err(issues.into_vec()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn problems<T: std::fmt::Debug>(read: Result<T, Vec<Issue>>) -> Vec<String> {
        let issues = read.unwrap_err().into_iter();
        issues.map(|issue| format!("{} {}", issue.path.join("."), issue.code)).collect()
    }

    fn key(body: &Value) -> Result<(AskedKey, Ignored), Vec<Issue>> {
        new_key(&body.to_string(), Scope::Operator, NOW)
    }

    #[test]
    fn a_key_has_a_consumer_and_a_world_and_its_scope_is_write_by_default() {
        let (asked, ignored) =
            key(&json!({"consumer": " acme ", "live": true, "note": 1})).unwrap();
        let consumer = "acme".to_owned();
        let expected = AskedKey { consumer, live: true, scope: Scope::Write, expires_at: None };
        assert_eq!((asked, ignored.header()), (expected, Some("note")));
        let whole = json!({"consumer": "a", "live": false, "scope": "admin", "expiresAt": "1970-01-02T00:00:00+02:00"});
        let (asked, _) = key(&whole).unwrap();
        assert_eq!((asked.live, asked.scope), (false, Scope::Admin));
        assert_eq!(asked.expires_at.unwrap().to_string(), "1970-01-01T22:00:00.000Z");
    }

    #[test]
    fn all_issues_of_a_key_are_reported_together() {
        assert_eq!(problems(key(&json!({}))), ["consumer required", "live required"]);
        let body = json!({"consumer": "\u{200b}", "live": "yes", "scope": "root", "expiresAt": "soon", "consumer_name": "x", "Scope": "read"});
        let expected = [
            "consumer too_short",
            "live invalid_type",
            "scope unknown_scope",
            "expiresAt invalid_time",
            "consumer_name unknown_field",
            "Scope unknown_field",
        ];
        let mut found = problems(key(&body));
        found.sort();
        let mut wanted = expected;
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        for (name, code) in [("a\nb", "invalid_characters"), ("", "too_short")] {
            let found = problems(key(&json!({"consumer": name, "live": true})));
            assert_eq!(found, [format!("consumer {code}")], "{name:?}");
        }
        let long =
            json!({"consumer": "x".repeat(101), "live": true, "expiresAt": "1969-12-31T23:59:59Z"});
        assert_eq!(problems(key(&long)), ["consumer too_long", "expiresAt invalid_time"]);
        assert_eq!(problems(new_key("[]", Scope::Operator, NOW)), [" invalid_json"]);
    }

    #[test]
    fn no_key_creates_one_of_a_higher_scope_and_no_test_key_has_the_scope_operator() {
        for own in Scope::ALL {
            for scope in Scope::ALL {
                let body = json!({"consumer": "a", "live": true, "scope": scope.as_str()});
                let read = new_key(&body.to_string(), own, NOW);
                if own.includes(scope) {
                    assert_eq!(read.unwrap().0.scope, scope);
                } else {
                    assert_eq!(problems(read), ["scope scope_too_high"], "{own} {scope}");
                }
            }
        }
        for scope in ["operator", "worker"] {
            let body = json!({"consumer": "a", "live": false, "scope": scope});
            assert_eq!(problems(key(&body)), ["live live_required"]);
        }
    }

    #[test]
    fn a_quota_changes_only_in_named_fields_and_null_is_refused() {
        let limit = |number| Some(QuotaLimit::Limit(NonZeroU32::new(number).unwrap()));
        let (change, ignored) =
            quota_change(r#"{"bots":5.0,"minutes":"none","queuedJobs":"default","note":1}"#)
                .unwrap();
        let expected = admin::QuotaChange {
            bots: limit(5),
            minutes: Some(QuotaLimit::Unlimited),
            queued_jobs: Some(QuotaLimit::Default),
            worker_labels: None,
        };
        assert_eq!((change, ignored.header()), (expected, Some("note")));
        let (change, _) = quota_change(r#"{"bots":4294967295}"#).unwrap();
        assert_eq!((change.bots, change.minutes), (limit(u32::MAX), None));
        for (body, problem) in [
            ("{}", " required"),
            (r#"{"bots":null}"#, "bots invalid_type"),
            (r#"{"bots":0}"#, "bots out_of_range"),
            (r#"{"bots":-1}"#, "bots out_of_range"),
            (r#"{"bots":1.5}"#, "bots out_of_range"),
            (r#"{"bots":4294967296}"#, "bots out_of_range"),
            (r#"{"bots":"7"}"#, "bots invalid_type"),
            (r#"{"bots":"many"}"#, "bots invalid_type"),
            (r#"{"bots":[1]}"#, "bots invalid_type"),
            (r#"{"maxBots":1}"#, "maxBots unknown_field"),
            (r#"{"bots":1,"bots":2}"#, "bots duplicate_field"),
            (r#"{"workerLabels":null}"#, "workerLabels invalid_type"),
            (r#"{"workerLabels":"eu"}"#, "workerLabels invalid_type"),
            (r#"{"workerLabels":[1]}"#, "workerLabels invalid_type"),
            (r#"{"workerLabels":["EU"]}"#, "workerLabels invalid_label"),
            (r#"{"labels":["eu"]}"#, "labels unknown_field"),
        ] {
            assert_eq!(problems(quota_change(body)), [problem], "{body}");
        }
        let (change, _) = quota_change(r#"{"workerLabels":["us","eu"]}"#).unwrap();
        assert_eq!(change.worker_labels.unwrap().to_string(), "eu,us");
        assert!(
            quota_change(r#"{"workerLabels":[]}"#).unwrap().0.worker_labels.unwrap().is_empty()
        );
        let many: Vec<_> = (0..17).map(|number| number.to_string()).collect();
        let many = json!({"workerLabels": many}).to_string();
        assert_eq!(problems(quota_change(&many)), ["workerLabels too_many_items"]);
    }

    #[test]
    fn an_overlap_is_a_day_by_default_and_bounded() {
        let seconds = |body: &str| rotation(body).map(|(overlap, _)| overlap.as_secs());
        for (body, wanted) in [
            ("{}", 86_400),
            (r#"{"overlapSeconds":null}"#, 86_400),
            (r#"{"overlapSeconds":0}"#, 0),
            (r#"{"overlapSeconds":-0.0}"#, 0),
            (r#"{"overlapSeconds":7776000}"#, 7_776_000),
        ] {
            assert_eq!(seconds(body).unwrap(), wanted, "{body}");
        }
        for (body, problem) in [
            (r#"{"overlapSeconds":7776001}"#, "overlapSeconds out_of_range"),
            (r#"{"overlapSeconds":-1}"#, "overlapSeconds out_of_range"),
            (r#"{"overlapSeconds":"1d"}"#, "overlapSeconds invalid_type"),
            (r#"{"overlap_seconds":1}"#, "overlap_seconds unknown_field"),
        ] {
            assert_eq!(problems(seconds(body)), [problem], "{body}");
        }
    }
}
