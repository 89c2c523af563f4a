//! When a bot leaves by itself: the settings. The bot's `leave_policy` applies them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest a rule may wait: a day.
pub const MAX_SECONDS: u32 = 86_400;

/// The rules of a job, complete: what the caller set and the server's defaults for the rest.
///
/// `null` means that a rule is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutoLeave {
    /// Give up when not admitted this long after knocking.
    pub after_entry_delay_seconds: Option<u32>,
    /// Leave when nobody has spoken for this long.
    pub after_silence_seconds: Option<u32>,
    /// Leave when no other human has been there for this long.
    pub after_solo_seconds: Option<u32>,
    /// Leave after this long in the call.
    pub after_max_seconds: Option<u32>,
    /// Leave when another notetaker bot is in the meeting; of several bots of one server the first stays.
    pub on_bot_detected: bool,
}

impl Default for AutoLeave {
    /// The server's defaults; SDKs do not fill them in.
    fn default() -> Self {
        Self {
            after_entry_delay_seconds: Some(600),
            after_silence_seconds: Some(1_200),
            after_solo_seconds: Some(60),
            after_max_seconds: Some(14_400),
            on_bot_detected: false,
        }
    }
}

/// One rule as a caller sets it.
///
/// ```
/// use meetbot_types::{AutoLeaveConfig, Rule};
///
/// let config = AutoLeaveConfig { after_solo_seconds: Rule::Off, after_max_seconds: Rule::After(7200), ..AutoLeaveConfig::default() };
/// assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"afterSoloSeconds":null,"afterMaxSeconds":7200}"#);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// Not sent: the server's default holds.
    #[default]
    Default,
    /// Sent as `null`: the rule is off.
    Off,
    /// Leave after this many seconds (1 to [`MAX_SECONDS`]).
    After(u32),
}

impl Rule {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `skip_serializing_if` passes a reference"
    )]
    const fn is_default(&self) -> bool {
        matches!(self, Self::Default)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Rule {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{SchemaType, Type};
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
            .minimum(Some(1))
            .maximum(Some(MAX_SECONDS))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Rule {}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default | Self::Off => serializer.serialize_none(),
            Self::After(seconds) => serializer.serialize_some(seconds),
        }
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<u32>::deserialize(deserializer)?.map_or(Self::Off, Self::After))
    }
}

/// The rules that a caller sets when dispatching a bot; what is not set keeps the server's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutoLeaveConfig {
    /// Give up when not admitted this long after knocking.
    #[serde(default, skip_serializing_if = "Rule::is_default")]
    pub after_entry_delay_seconds: Rule,
    /// Leave when nobody has spoken for this long.
    #[serde(default, skip_serializing_if = "Rule::is_default")]
    pub after_silence_seconds: Rule,
    /// Leave when no other human has been there for this long.
    #[serde(default, skip_serializing_if = "Rule::is_default")]
    pub after_solo_seconds: Rule,
    /// Leave after this long in the call.
    #[serde(default, skip_serializing_if = "Rule::is_default")]
    pub after_max_seconds: Rule,
    /// Leave when another notetaker bot is in the meeting; of several bots of one server the first stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_bot_detected: Option<bool>,
}

impl AutoLeaveConfig {
    /// The complete rules: what is set here, `defaults` for the rest.
    pub fn or(&self, defaults: &AutoLeave) -> AutoLeave {
        let pick = |rule: Rule, default: Option<u32>| match rule {
            Rule::Default => default,
            Rule::Off => None,
            Rule::After(seconds) => Some(seconds),
        };
        AutoLeave {
            after_entry_delay_seconds: pick(
                self.after_entry_delay_seconds,
                defaults.after_entry_delay_seconds,
            ),
            after_silence_seconds: pick(self.after_silence_seconds, defaults.after_silence_seconds),
            after_solo_seconds: pick(self.after_solo_seconds, defaults.after_solo_seconds),
            after_max_seconds: pick(self.after_max_seconds, defaults.after_max_seconds),
            on_bot_detected: self.on_bot_detected.unwrap_or(defaults.on_bot_detected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_rule_is_not_sent_and_a_disabled_one_is_null() {
        assert_eq!(serde_json::to_string(&AutoLeaveConfig::default()).unwrap(), "{}");
        let read: AutoLeaveConfig =
            serde_json::from_str(r#"{"afterSilenceSeconds":null,"afterSoloSeconds":5}"#).unwrap();
        assert_eq!(read.after_silence_seconds, Rule::Off);
        assert_eq!(read.after_solo_seconds, Rule::After(5));
        assert_eq!(read.after_max_seconds, Rule::Default);
    }

    #[test]
    fn unset_rules_get_their_defaults() {
        let config =
            AutoLeaveConfig { after_silence_seconds: Rule::Off, ..AutoLeaveConfig::default() };
        let rules = config.or(&AutoLeave::default());
        assert_eq!(rules, AutoLeave { after_silence_seconds: None, ..AutoLeave::default() });
    }
}
