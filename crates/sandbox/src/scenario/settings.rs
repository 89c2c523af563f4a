//! A scenario's parameters, as in `seconds=20&speakers=3`.

use std::time::Duration;

use url::form_urlencoded;

pub(super) const MAX_SPEAKERS: u32 = 20;
pub(super) const MAX_SECONDS: u32 = 3_600;
const PARAMETERS: [&str; 6] =
    ["seconds", "speakers", "admitAfter", "denyAfter", "answer", "answerAfter"];

/// A scenario's parameters.
pub(super) struct Settings {
    pub(super) length: Duration,
    pub(super) speakers: u32,
    pub(super) admit_after: Duration,
    pub(super) deny_after: Duration,
    /// The host's answer to a request for permission.
    pub(super) granted: Option<bool>,
    pub(super) answer_after: Duration,
}

impl Settings {
    /// Reads the parameters; `seconds` and `speakers` are the scenario's defaults.
    pub(super) fn read(query: &str, seconds: u32, speakers: u32) -> Result<Self, String> {
        let (mut length, mut speakers) = (seconds, speakers);
        let (mut admit_after, mut deny_after) = (0, 1);
        let (mut granted, mut answer_after) = (Some(true), 1);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (place, least, most) = match name.as_ref() {
                "seconds" => (&mut length, 1, MAX_SECONDS),
                "speakers" => (&mut speakers, 1, MAX_SPEAKERS),
                "admitAfter" => (&mut admit_after, 0, MAX_SECONDS),
                "denyAfter" => (&mut deny_after, 0, MAX_SECONDS),
                "answerAfter" => (&mut answer_after, 0, MAX_SECONDS),
                "answer" => {
                    granted = match value.as_ref() {
                        "grant" => Some(true),
                        "deny" => Some(false),
                        "none" => None,
                        _ => {
                            return Err(format!(
                                "answer must be grant, deny or none, not {value:?}"
                            ));
                        }
                    };
                    continue;
                }
                // As in links of real meetings, a passcode and tracking parameters of mail programs are allowed.
                "pwd" => continue,
                tracking if tracking.starts_with("utm_") => continue,
                unknown => {
                    return Err(format!(
                        "the sandbox has no parameter {unknown:?}; it has {}",
                        PARAMETERS.join(", ")
                    ));
                }
            };
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            *place = number.ok_or_else(|| {
                format!("{name} must be a whole number from {least} to {most}, not {value:?}")
            })?;
        }
        let seconds = |seconds| Duration::from_secs(u64::from(seconds));
        Ok(Self {
            length: seconds(length),
            speakers,
            admit_after: seconds(admit_after),
            deny_after: seconds(deny_after),
            granted,
            answer_after: seconds(answer_after),
        })
    }
}
