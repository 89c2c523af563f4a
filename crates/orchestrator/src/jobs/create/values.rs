//! The values of a new job's fields: each read, or said what is wrong with it.

use meetbot_types::{
    AutoLeave, AutoLeaveConfig, InvalidMetadata, MeetingLink, Metadata, Platform, Rule, Timestamp,
    Webhooks, address_policy, auto_leave::MAX_SECONDS, availability, time::InvalidTimestamp,
    visible::is_blank,
};
use serde_json::Value;
use url::Url;

use super::{CreationRules, MAX_EXTERNAL_ID, scenario};
use crate::{
    accounts::{AccountRefusal, Accounts, LONGEST_NAME},
    egress::Guard,
    fields::{Fields, Issues},
};

const MAX_DISPLAY_NAME: usize = 100;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const YEAR_MS: i64 = 366 * 24 * 60 * 60 * 1000;

pub(super) fn external_id(fields: &Fields<'_>, issues: &mut Issues) -> Option<String> {
    fields.text("externalId", MAX_EXTERNAL_ID, issues)
}

pub(super) fn display_name(fields: &Fields<'_>, issues: &mut Issues) -> Option<String> {
    let name = fields.text("displayName", MAX_DISPLAY_NAME, issues)?;
    if is_blank(&name) {
        let message =
            "must hold at least one visible character: people in the meeting see this name";
        issues.add(&["displayName"], "too_short", message);
        return None;
    }
    Some(name)
}

pub(super) fn platform(fields: &Fields<'_>, issues: &mut Issues) -> Option<Platform> {
    let known = || Platform::ALL.iter().map(Platform::as_str).collect::<Vec<_>>().join(", ");
    if let Value::String(word) = fields.value("platform", issues)? {
        let platform = Platform::known(&word);
        if platform.is_none() {
            let message = format!("is no platform known here; known are {}", known());
            issues.add(&["platform"], "unknown_platform", message);
        }
        platform
    } else {
        issues.wrong_type(&["platform"], "a string");
        None
    }
}

pub(super) fn meeting(
    fields: &Fields<'_>,
    platform: Option<&Platform>,
    terms: &CreationRules<'_>,
    issues: &mut Issues,
) -> Option<(MeetingLink, String)> {
    const FIELD: &[&str] = &["meetingUrl"];
    let url = match fields.value("meetingUrl", issues) {
        Some(Value::String(url)) => url,
        None if fields.raw("meetingUrl").is_some() => return None,
        None => {
            issues.add(FIELD, "required", "is required: the meeting's full link");
            return None;
        }
        Some(_) => {
            issues.wrong_type(FIELD, "a string");
            return None;
        }
    };
    let link = match MeetingLink::parse(&url, platform) {
        Ok(link) => link,
        Err(error) => {
            issues.add(FIELD, error.code(), error.to_string());
            return None;
        }
    };
    let joinable = availability::joinable(terms.available);
    if !joinable.contains(&&link.platform) {
        let able = joinable.into_iter().map(Platform::as_str).collect::<Vec<_>>().join(", ");
        let able = if able.is_empty() { "none" } else { &able };
        let mut message = format!(
            "{} is recognised, but no bot of this server can join it; it can join {able}",
            link.platform
        );
        for missing in availability::of_platform(terms.available, &link.platform)
            .iter()
            .flat_map(|way| &way.missing)
        {
            message.extend(["; ", missing.message.as_str()]);
        }
        issues.add(FIELD, "platform_not_available", message);
    } else if let Some(scenario) = scenario(&link, terms.live) {
        if let Err(problem) = (terms.scenario)(&scenario) {
            issues.add(FIELD, "invalid_scenario", problem);
        }
    } else if let Some(host) = link.host()
        && let Some(address) = terms.meetings.refused(&host)
    {
        let message = address_policy::refusal(address, "bots.allow_networks");
        issues.add(FIELD, "address_not_allowed", message);
    }
    Some((link, url))
}

pub(super) fn join_at(
    fields: &Fields<'_>,
    now: Timestamp,
    issues: &mut Issues,
) -> Option<Timestamp> {
    const FIELD: &[&str] = &["joinAt"];
    const TOO_FAR: &str = "must be at most a year ahead";
    let Value::String(text) = fields.value("joinAt", issues)? else {
        issues.wrong_type(FIELD, "a string with an RFC 3339 time");
        return None;
    };
    match text.parse::<Timestamp>() {
        Ok(at) if at.millis_since(now) > YEAR_MS => {
            issues.add(FIELD, "too_far", TOO_FAR);
            None
        }
        Ok(at) => Some(at),
        Err(error) => {
            let (code, message) = match error {
                InvalidTimestamp::TooLate => ("too_far", TOO_FAR.to_owned()),
                InvalidTimestamp::TooEarly => ("invalid_time", format!("is {error}")),
                InvalidTimestamp::Malformed => {
                    ("invalid_time", format!("is {error}; the offset is required"))
                }
            };
            issues.add(FIELD, code, message);
            None
        }
    }
}

pub(super) fn webhooks(fields: &Fields<'_>, guard: &Guard, issues: &mut Issues) -> Webhooks {
    let mut webhooks = Webhooks::default();
    let Some(given) = fields.value("webhooks", issues) else { return webhooks };
    let Value::Object(given) = given else {
        issues.wrong_type(&["webhooks"], "an object");
        return webhooks;
    };
    for (name, place) in [
        ("onStatusChange", &mut webhooks.on_status_change),
        ("onFinalize", &mut webhooks.on_finalize),
    ] {
        match given.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(url)) => match guard.check(url) {
                // As it is read and sent to: what a parser leaves out or escapes is not kept.
                Ok(()) => *place = Url::parse(url).ok().map(Into::into),
                Err(problem) => {
                    issues.add(&["webhooks", name], problem.code(), problem.to_string());
                }
            },
            Some(_) => issues.wrong_type(&["webhooks", name], "a string with a URL"),
        }
    }
    webhooks
}

pub(super) fn metadata(fields: &Fields<'_>, issues: &mut Issues) -> Metadata {
    const FIELD: &[&str] = &["metadata"];
    let Some(raw) = fields.raw("metadata") else { return Metadata::default() };
    let size = raw.len();
    if size > MAX_METADATA_BYTES {
        let message = format!("has {size} bytes of JSON; at most {MAX_METADATA_BYTES} are taken");
        issues.add(FIELD, "too_large", message);
        return Metadata::default();
    }
    Metadata::from_json(raw).unwrap_or_else(|error| {
        match error {
            InvalidMetadata::NotAnObject => issues.wrong_type(FIELD, "a JSON object"),
            InvalidMetadata::Unreadable(_) => issues.add(FIELD, "invalid_type", error.to_string()),
        }
        Metadata::default()
    })
}

pub(super) fn auto_leave(fields: &Fields<'_>, issues: &mut Issues) -> AutoLeave {
    let mut config = AutoLeaveConfig::default();
    let defaults = AutoLeave::default();
    let Some(given) = fields.value("autoLeave", issues) else { return defaults };
    let Value::Object(given) = given else {
        issues.wrong_type(&["autoLeave"], "an object");
        return defaults;
    };
    for (name, rule) in [
        ("afterEntryDelaySeconds", &mut config.after_entry_delay_seconds),
        ("afterSilenceSeconds", &mut config.after_silence_seconds),
        ("afterSoloSeconds", &mut config.after_solo_seconds),
        ("afterMaxSeconds", &mut config.after_max_seconds),
    ] {
        match given.get(name) {
            None => {}
            Some(Value::Null) => *rule = Rule::Off,
            Some(number) => {
                if let Some(seconds) = rule_seconds(number) {
                    *rule = Rule::After(seconds);
                } else {
                    let message = format!(
                        "must be a whole number of seconds from 1 to {MAX_SECONDS}, or null to switch the rule off"
                    );
                    issues.add(&["autoLeave", name], "out_of_range", message);
                }
            }
        }
    }
    match given.get("onBotDetected") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(leave)) => config.on_bot_detected = Some(*leave),
        Some(_) => issues.wrong_type(&["autoLeave", "onBotDetected"], "true or false"),
    }
    config.or(&defaults)
}

pub(super) fn record_video(fields: &Fields<'_>, issues: &mut Issues) -> Option<bool> {
    let Value::Bool(wanted) = fields.value("recordVideo", issues)? else {
        issues.wrong_type(&["recordVideo"], "true or false");
        return None;
    };
    Some(wanted)
}

/// The account of a job whose meeting is on this platform, if that is known.
pub(super) fn account(
    fields: &Fields<'_>,
    platform: Option<&Platform>,
    terms: &CreationRules<'_>,
    issues: &mut Issues,
) -> Option<String> {
    const FIELD: &str = "account";
    let name = fields.text(FIELD, LONGEST_NAME, issues)?;
    let mut refuse = |code: &str, message: String| issues.add(&[FIELD], code, message);
    if !terms.live {
        let message =
            "with a test key the sandbox plays the meeting, and the bot joins without an account";
        refuse("account_not_supported", message.to_owned());
        return None;
    }
    if let Some(platform) = platform.filter(|platform| **platform != Platform::GoogleMeet) {
        let message =
            format!("{platform} is joined without an account; google-meet alone takes one");
        refuse("account_not_supported", message);
        return None;
    }
    let refusal = match terms.accounts.iter().find(|choice| choice.name == name) {
        Some(choice) => choice.refusal.clone(),
        None => Accounts::default().refusal(&name, "", true),
    };
    match refusal {
        None => Some(name),
        Some(AccountRefusal { code, message }) => {
            refuse(code, message);
            None
        }
    }
}

/// A number of seconds that a rule can take. JSON does not tell 60 from 60.0.
fn rule_seconds(number: &Value) -> Option<u32> {
    let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
    let within = (1.0..=f64::from(MAX_SECONDS)).contains(&number);
    within.then(|| number.to_string().parse().ok()).flatten()
}
