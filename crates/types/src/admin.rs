//! The operator's API: keys, consumers, quotas, the audit log, webhook secrets.

use std::{fmt, net::IpAddr, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{ConsumerId, ErrorCode, JobId, KeyId, Labels, Timestamp, UseId};

words! {
    /// What a key may do. Each scope includes those before it, but for `worker`, which is for workers alone.
    pub enum KeyScope {
        /// Look at jobs and recordings of the key's consumer.
        Read = "read",
        /// Make and change them.
        Write = "write",
        /// See metrics and the machine; erase the key's consumer.
        Admin = "admin",
        /// Run the server: keys, quotas, secrets and erasure of all consumers.
        Operator = "operator",
        /// Take jobs for bots, as `meetbot worker` does, and nothing else.
        Worker = "worker",
    }
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The name of the consumer whose key it is.
    #[cfg_attr(feature = "openapi", schema(example = "acme"))]
    pub consumer: String,
    /// The consumer's id.
    pub consumer_id: ConsumerId,
    /// `true`: a key for real meetings; `false`: for the sandbox.
    pub live: bool,
    /// What it may do.
    pub scope: KeyScope,
    /// The key's first characters, which are not secret.
    #[cfg_attr(feature = "openapi", schema(example = "mb_live_4fJ7kQ2x"))]
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing. `null`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked. `null`: it was not.
    pub revoked_at: Option<Timestamp>,
    /// When it was last shown, by a call that was taken or refused; up to half a minute may be missing. `null`: never.
    pub last_used_at: Option<Timestamp>,
}

/// A key to make: the body of `POST /api/v1/admin/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    /// The name of the consumer that gets the key (1 to 100 characters, none of them a control character, at least one of them visible); a name that is new makes a new consumer.
    #[cfg_attr(
        feature = "openapi",
        schema(
            example = "acme",
            max_length = 100,
            pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
        )
    )]
    pub consumer: String,
    /// `true`: a key for real meetings; `false`: for the sandbox. Keys of operators and workers are live ones.
    pub live: bool,
    /// What it may do; by default `write`. At most what the key may that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
    /// From when on it opens nothing; by default it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A key that was just made: the only time that it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    /// The key itself. It is stored as a hash and cannot be shown again.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "mb_live_4fJ7kQ2xW8mZc1TnB5vR0yLh3sPdXgAe6uKoEiUq9MjNrHtF")
    )]
    pub key: String,
    /// The secret that signs the webhooks of a consumer that is new; `null` for one that was there before, which has its secret.
    pub webhook_secret: Option<String>,
    /// What is known of the key from now on.
    #[serde(flatten)]
    pub shown: ApiKey,
}

impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// What a consumer has used in a world (live or test).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConsumerUsage {
    /// Jobs with a bot, or with one to come for one that was lost.
    pub bots: u64,
    /// Started minutes in meetings in this month (UTC).
    pub minutes: u64,
    /// Jobs that have had no bot yet.
    pub queued_jobs: u64,
    /// Bytes that recordings of jobs that have ended have on disk.
    pub recording_bytes: u64,
}

/// How much of one thing a consumer may use: a number, `none` (no limit) or `default` (what the server's settings say).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaLimit {
    /// What the settings say.
    Default,
    /// No limit.
    Unlimited,
    /// So much.
    Limit(NonZeroU32),
}

const DEFAULT: &str = "default";
const UNLIMITED: &str = "none";

/// What a limit can be, for people.
pub const LIMIT_WANTED: &str = "a number from 1 to 4294967295, none or default";

impl FromStr for QuotaLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            DEFAULT => Ok(Self::Default),
            UNLIMITED => Ok(Self::Unlimited),
            number => number.parse().map(Self::Limit).map_err(|_| LIMIT_WANTED),
        }
    }
}

impl Serialize for QuotaLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default => serializer.serialize_str(DEFAULT),
            Self::Unlimited => serializer.serialize_str(UNLIMITED),
            Self::Limit(limit) => limit.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for QuotaLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(NonZeroU32),
            Word(String),
        }
        match Written::deserialize(deserializer).map_err(|_| de::Error::custom(LIMIT_WANTED))? {
            Written::Number(limit) => Ok(Self::Limit(limit)),
            Written::Word(word) if word == DEFAULT => Ok(Self::Default),
            Written::Word(word) if word == UNLIMITED => Ok(Self::Unlimited),
            Written::Word(_) => Err(de::Error::custom(LIMIT_WANTED)),
        }
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for QuotaLimit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{ObjectBuilder, OneOfBuilder, schema::Type};
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(u32::MAX));
        let word =
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some([UNLIMITED, DEFAULT]));
        let description = "How much a consumer may use: a number, `none` (no limit) or `default` (what the server's settings say)";
        OneOfBuilder::new().item(number).item(word).description(Some(description)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for QuotaLimit {}

/// What is set for a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConsumerQuota {
    /// Bots at the same time, in each world.
    pub bots: QuotaLimit,
    /// Minutes in meetings in a month, with live keys.
    pub minutes: QuotaLimit,
    /// Jobs that have had no bot yet, in each world.
    pub queued_jobs: QuotaLimit,
}

/// A change of what a consumer may use: the body of `PATCH /api/v1/admin/consumers/{id}/quota`. What is missing stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(min_properties = 1))]
#[serde(rename_all = "camelCase")]
pub struct QuotaChange {
    /// Bots at the same time, in each world.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub bots: Option<QuotaLimit>,
    /// Minutes in meetings in a month, with live keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub minutes: Option<QuotaLimit>,
    /// Jobs that have had no bot yet, in each world.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub queued_jobs: Option<QuotaLimit>,
    /// The labels that a worker must have to run its bots and make its mixes, at most 16; `[]`: any worker does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub worker_labels: Option<Labels>,
}

/// A consumer: a tenant of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    /// Its id.
    pub id: ConsumerId,
    /// Its name; no two consumers have the same one.
    #[cfg_attr(feature = "openapi", schema(example = "acme"))]
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it has used with live keys.
    pub live: ConsumerUsage,
    /// What it has used with test keys.
    pub test: ConsumerUsage,
    /// How many bots it may have at the same time, in each world. `null`: any number.
    pub max_bots: Option<u64>,
    /// How many minutes it may use in a month, with live keys. `null`: any number.
    pub max_minutes: Option<u64>,
    /// How many jobs it may have in the queue, in each world. `null`: any number.
    pub max_queued_jobs: Option<u64>,
    /// What is set for it, from which the three numbers above follow.
    pub quota: ConsumerQuota,
    /// The labels that a worker must have to run its bots and make its mixes. `[]`: any worker does.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub worker_labels: Labels,
}

/// A line of the audit log: what a key was used for, and what became of it. Refusals of one key for one reason in a minute are one line, and so is a change
/// that is made again: it shows the first, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    /// Its id; they sort by time.
    pub id: UseId,
    /// When the first call came.
    pub at: Timestamp,
    /// The id of the key that it was made with.
    pub key: KeyId,
    /// The id of the key's consumer.
    pub consumer: ConsumerId,
    /// From where, as the server saw it: behind a proxy, the proxy's address.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "203.0.113.7"))]
    pub address: IpAddr,
    /// The HTTP method.
    #[cfg_attr(feature = "openapi", schema(example = "DELETE"))]
    pub method: String,
    /// The path, without its query. Of a call that made a key it is that key's: `/api/v1/admin/keys/key_…`.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "/api/v1/admin/keys/key_01KAB1CDEFGHJKMNPQRSTVWXYZ")
    )]
    pub path: String,
    /// The job that it was about.
    pub job: Option<JobId>,
    /// The HTTP status of the answer; 499 when the caller had gone before there was one.
    pub status: u16,
    /// The error of the answer.
    pub error: Option<ErrorCode>,
    /// The request's id.
    pub request: String,
    /// How many calls it stands for.
    pub times: u64,
}

/// Which webhook secrets of a consumer are valid, without the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConsumerSecret {
    /// The consumer's id.
    pub consumer_id: ConsumerId,
    /// The consumer's name.
    #[cfg_attr(feature = "openapi", schema(example = "acme"))]
    pub consumer: String,
    /// Until when the secret before the current one is valid too. `null`: no rotation is under way.
    pub previous_until: Option<Timestamp>,
}

/// How to replace a webhook secret: the body of `POST /api/v1/admin/secrets/{id}/rotate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SecretRotation {
    /// How long the previous secret stays valid, in seconds: by default 86400 (a day), at most 7776000 (90 days); 0 when it has leaked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 7_776_000, example = 86_400))]
    pub overlap_seconds: Option<u32>,
}

/// How long the previous webhook secret stays valid where nothing else is said, in seconds.
pub const DEFAULT_OVERLAP_SECONDS: u32 = 24 * 60 * 60;
/// How long it may stay valid at most, in seconds: long enough for any receiver to change its secret.
pub const LONGEST_OVERLAP_SECONDS: u32 = 90 * 24 * 60 * 60;

/// A webhook secret that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecret {
    /// The consumer's id.
    pub consumer_id: ConsumerId,
    /// The consumer's name.
    #[cfg_attr(feature = "openapi", schema(example = "acme"))]
    pub consumer: String,
    /// The new secret. The API does not show it again.
    pub webhook_secret: String,
    /// Until when the previous secret is valid too. `null`: it is not valid any more.
    pub previous_until: Option<Timestamp>,
}

impl fmt::Debug for RotatedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatedSecret")
            .field("consumer", &self.consumer)
            .field("previous_until", &self.previous_until)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_none_or_the_default() {
        let seven = QuotaLimit::Limit(NonZeroU32::new(7).unwrap());
        for (limit, text, json) in [
            (seven, "7", "7"),
            (QuotaLimit::Unlimited, "none", "\"none\""),
            (QuotaLimit::Default, "default", "\"default\""),
        ] {
            assert_eq!(text.parse(), Ok(limit));
            assert_eq!(serde_json::to_string(&limit).unwrap(), json);
            assert_eq!(serde_json::from_str::<QuotaLimit>(json).unwrap(), limit);
        }
        for wrong in ["", "0", "-1", "many", "1.5", "4294967296"] {
            assert!(wrong.parse::<QuotaLimit>().is_err(), "{wrong}");
        }
        for wrong in ["0", "-1", "1.5", "4294967296", "\"7\"", "null", "true", "[]"] {
            assert!(serde_json::from_str::<QuotaLimit>(wrong).is_err(), "{wrong}");
        }
    }
}
