//! What the API answers with, as the SDK reads it.
//!
//! Required of an answer is what gives it meaning; a server that is older or newer than this SDK may leave out the rest, send `null`, words that are not
//! known here, and more fields. What is missing or `null` reads as `None`, 0, `false`, empty, or an object of which nothing is known
//! (`spec/README.md` has the rule, `spec/vectors/answers.json` the cases). What the server always sends stands in `meetbot-types`.

mod delivery;
mod event;
pub mod host;
mod job;
pub mod manifest;
mod platform;
mod receipt;
mod recording;

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use meetbot_types::Page;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

pub use self::{
    delivery::{Delivery, DeliveryTry, Endpoint},
    event::{ChatMessage, EventData, EventDetails, Participant, TimelineEvent, WebhookEvent},
    host::{Host, Usage},
    job::{AutoLeave, ControlResult, Job, Recording},
    manifest::Manifest,
    platform::{MissingRequirement, PlatformAvailability},
    receipt::{DeletionReceipt, ErasureReceipt, RemovedObject},
    recording::{Caption, RecordingEvent},
};
pub(crate) use self::{job::job, recording::recording_event};

/// Anything that needs no more than its own reader.
pub(crate) fn plain<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<Object<T>>(body).map(|object| object.0)
}

/// A page.
pub(crate) fn page<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<Page<T>> {
    pages(body, plain)
}

/// A page of jobs.
pub(crate) fn jobs(body: &[u8]) -> serde_json::Result<Page<Job>> {
    pages(body, job)
}

fn pages<T>(body: &[u8], read: fn(&[u8]) -> serde_json::Result<T>) -> serde_json::Result<Page<T>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        data: Vec<Box<RawValue>>,
        next_cursor: Option<String>,
    }
    let Raw { data, next_cursor } = plain(body)?;
    let data = data.iter().map(|raw| read(raw.get().as_bytes())).collect::<Result<_, _>>()?;
    Ok(Page { data, next_cursor })
}

/// The body of a 204, which is ignored.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside the other readers")]
pub(crate) fn nothing(_: &[u8]) -> serde_json::Result<()> {
    Ok(())
}

/// Reads an object and nothing else: a derived reader would take a list too, its elements as the fields in their order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

/// The default for `null`, as for a field that is missing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An object; for `null` one of which nothing is known.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0).unwrap_or_default())
}

/// A list of objects, empty for `null`.
fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(objects.into_iter().map(|object| object.0).collect())
}

/// Numbers by name, empty for `null`; a name whose number is `null` is missing.
fn counts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let counts = Option::<BTreeMap<String, Option<u64>>>::deserialize(deserializer)?;
    let known = counts.unwrap_or_default().into_iter();
    Ok(known.filter_map(|(name, count)| Some((name, count?))).collect())
}

/// The id that a thing is known by.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    if id.is_empty() { Err(D::Error::custom("an id is empty")) } else { Ok(id) }
}
