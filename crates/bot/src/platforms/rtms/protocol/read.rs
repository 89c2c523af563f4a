//! The raw JSON fields of Zoom's messages: a number may be a text, and a field of an unexpected type counts as missing.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Event, Media, Person, ReadError, Servers, Text, event_kind};
use crate::bounds;

/// The fields of all messages.
#[derive(Deserialize)]
pub(super) struct Raw<'a> {
    #[serde(deserialize_with = "number")]
    pub(super) msg_type: u64,
    #[serde(default, deserialize_with = "maybe_number")]
    pub(super) status_code: Option<u64>,
    #[serde(default)]
    reason: Option<Value>,
    #[serde(default)]
    stop_reason: Option<Value>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub(super) state: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub(super) timestamp: Option<u64>,
    #[serde(default, deserialize_with = "shaped")]
    pub(super) media_server: Option<MediaServer>,
    #[serde(default, deserialize_with = "shaped")]
    pub(super) event: Option<RawEvent>,
    #[serde(default, borrow)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
pub(super) struct MediaServer {
    #[serde(default)]
    pub(super) server_urls: Servers,
}

#[derive(Deserialize)]
pub(super) struct RawEvent {
    #[serde(deserialize_with = "number")]
    event_type: u64,
    #[serde(default, deserialize_with = "maybe_number")]
    media_type: Option<u64>,
    #[serde(default, deserialize_with = "people")]
    participants: Vec<RawPerson>,
    #[serde(default, deserialize_with = "id")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    user_name: Option<String>,
}

#[derive(Deserialize, Default)]
struct RawPerson {
    #[serde(default, deserialize_with = "id")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    user_name: Option<String>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default, deserialize_with = "id")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    user_name: Option<String>,
    #[serde(default, borrow)]
    data: Option<Data<'a>>,
    #[serde(default, deserialize_with = "maybe_number")]
    timestamp: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    start_time: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    end_time: Option<u64>,
}

/// Borrowed from the message, unless a character is escaped. Serde always copies an `Option<Cow>`.
#[derive(Deserialize)]
struct Data<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Raw<'a> {
    /// The reason as text: the meaning of a number depends on the message's type.
    pub(super) fn reason_text(&self) -> String {
        match &self.reason {
            Some(Value::String(reason)) => reason.clone(),
            Some(Value::Number(reason)) => reason.to_string(),
            _ => String::new(),
        }
    }

    /// `RTMS_STOP_REASON`; Zoom's documents name it both `reason` and `stop_reason`.
    pub(super) fn reason_number(&self) -> Option<u64> {
        let reasons = [&self.reason, &self.stop_reason];
        reasons.into_iter().flatten().find_map(|reason| match reason {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    fn content(self) -> Result<Content<'a>, ReadError> {
        self.content.ok_or(ReadError::lacks("content"))
    }

    pub(super) fn media(self) -> Result<Media, ReadError> {
        let content = self.content()?;
        let data = content.data.ok_or(ReadError::lacks("content.data"))?;
        Ok(Media {
            at_ms: content.timestamp.ok_or(ReadError::lacks("content.timestamp"))?,
            data: STANDARD.decode(&*data.0).map_err(|_| ReadError::Data)?,
            person: Person::of(content.user_id, content.user_name),
        })
    }

    pub(super) fn text(self) -> Result<Text<'a>, ReadError> {
        let content = self.content()?;
        let span_ms = content.start_time.zip(content.end_time).filter(|(from, to)| from <= to);
        let at_ms = content.timestamp.or(content.start_time);
        Ok(Text {
            at_ms: at_ms.ok_or(ReadError::lacks("content.timestamp"))?,
            span_ms,
            content: content.data.ok_or(ReadError::lacks("content.data"))?.0,
            person: Person::of(content.user_id, content.user_name),
        })
    }
}

impl Person {
    /// The person of a message's id. A mixed stream has the id −1; 0 means no person.
    fn of(id: Option<String>, name: Option<String>) -> Option<Self> {
        let id = id.filter(|id| !matches!(id.as_str(), "" | "0" | "-1"))?;
        Some(Self { id: bounds::id(id), name: bounds::NAME.cut(name.unwrap_or_default()) })
    }
}

impl RawPerson {
    fn person(self) -> Option<Person> {
        Person::of(self.user_id, self.user_name)
    }
}

impl RawEvent {
    pub(super) fn read(self) -> Event {
        let person = Person::of(self.user_id, self.user_name);
        let mut people: Vec<Person> =
            self.participants.into_iter().filter_map(RawPerson::person).collect();
        match (self.event_type, person) {
            (event_kind::ACTIVE_SPEAKER, Some(person)) => Event::Speaker(person),
            (event_kind::SHARING_STARTED, person) => Event::SharingStarted(person),
            (event_kind::SHARING_STOPPED, person) => Event::SharingStopped(person),
            (event_kind::MEDIA_INTERRUPTED, _) => Event::MediaInterrupted(self.media_type),
            (kind, person) => {
                people.extend(person);
                match kind {
                    event_kind::JOINED => Event::Joined(people),
                    event_kind::LEFT => Event::Left(people),
                    other => Event::Other(other),
                }
            }
        }
    }
}

/// A whole number, or a text that is one: servers write both.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let loose = deserializer.deserialize_any(LooseVisitor)?;
    loose.and_then(Loose::number).ok_or_else(|| D::Error::custom("a type that is no whole number"))
}

/// The same for an optional field. Anything but a number counts as missing: only a bad `msg_type` makes a message unreadable.
fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(deserializer.deserialize_any(LooseVisitor)?.and_then(Loose::number))
}

/// A `T`; a value of another type counts as missing.
fn shaped<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// The valid people of a list.
fn people<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RawPerson>, D::Error> {
    let people: Option<Vec<Value>> = shaped(deserializer)?;
    let people = people.unwrap_or_default().into_iter();
    Ok(people.filter_map(|person| serde_json::from_value(person).ok()).collect())
}

/// An id or a name as text, from a number or a text.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(deserializer.deserialize_any(LooseVisitor)?.map(|loose| match loose {
        Loose::Number(number) => number.to_string(),
        Loose::Text(text) => text,
    }))
}

/// A number, or a text.
enum Loose {
    Number(i128),
    Text(String),
}

impl Loose {
    fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => number.try_into().ok(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Option<Loose>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Loose::Number(number.into())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Loose::Number(number.into())))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond i128 saturates, and is no time or id either way"
    )]
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(Loose::Number(number as i128)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Loose::Text(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
