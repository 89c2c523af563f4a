//! Ids: a prefix that says what it names, and a ULID.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::Timestamp;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}<26 characters of a ULID>")]
pub struct InvalidId {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &str = $prefix;

            /// A new id that sorts after those of earlier milliseconds.
            ///
            /// # Panics
            /// When the operating system has no randomness to give.
            pub fn generate(now: Timestamp) -> Self {
                let mut random = [0; 16];
                getrandom::fill(&mut random).expect("the operating system gives randomness");
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                Self(Ulid::from_parts(millis, u128::from_le_bytes(random)))
            }

            /// The least id of this moment: those of the moment and of later ones are not below it.
            pub fn first_of(moment: Timestamp) -> Self {
                Self(Ulid::from_parts(u64::try_from(moment.as_millis()).unwrap_or(0), 0))
            }

            /// The moment for which it was generated.
            pub fn created_at(&self) -> Timestamp {
                Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; ulid::ULID_LEN];
                write!(f, concat!($prefix, "{}"), self.0.array_to_str(&mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let ulid = text.strip_prefix($prefix).and_then(|ulid| Ulid::from_string(ulid).ok());
                // One spelling for each id: the ULID alphabet also reads lower case and I, L, O.
                ulid.map(Self).filter(|id| id.to_string() == text).ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "[0-7][0-9A-HJKMNP-TV-Z]{25}$")))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

id!(
    /// A job: one bot asked for one meeting.
    JobId, "job_"
);
id!(
    /// One webhook delivery; the same over all its tries.
    DeliveryId, "dlv_"
);
id!(
    /// One line of a job's timeline.
    EventId, "evt_"
);
id!(
    /// One command to a bot.
    CommandId, "cmd_"
);
id!(
    /// One HTTP request.
    RequestId, "req_"
);
id!(
    /// One API key.
    KeyId, "key_"
);
id!(
    /// One use of a key: a line of the server's audit log.
    UseId, "use_"
);
id!(
    /// One consumer: a tenant of the server.
    ConsumerId, "con_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let early = JobId::generate(Timestamp::from_millis(1_000));
        let late = JobId::generate(Timestamp::from_millis(2_000));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.to_string().len(), 30);
        let first = JobId::first_of(Timestamp::from_millis(2_000));
        assert!(early < first && first <= late);
        assert!(JobId::first_of("9999-12-31T23:59:59.999Z".parse().unwrap()) > late);
    }

    #[test]
    fn another_kind_or_spelling_is_not_an_id() {
        let id = JobId::generate(Timestamp::from_millis(1_000)).to_string();
        let others = [
            id.replace("job_", "dlv_"),
            id.to_lowercase(),
            id[..29].to_owned(),
            String::new(),
            id.clone() + "0",
        ];
        for other in others {
            assert!(other.parse::<JobId>().is_err(), "{other}");
        }
    }
}
