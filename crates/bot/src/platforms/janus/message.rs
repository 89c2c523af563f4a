//! The messages of Janus that a bot uses, with all texts truncated. Unknown messages and fields are ignored: servers have many versions.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::bounds;

/// The id of a person in a `VideoRoom`: a number, or a name where the server's `string_ids` is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Id {
    /// A number.
    Number(u64),
    /// A name.
    Name(#[serde(deserialize_with = "cut_id")] String),
}

impl Id {
    /// A unique id of the type that the server uses: a number within a browser's safe integers, or a text.
    ///
    /// The bot chooses it, and not the server: so no server can choose a person's id, of this or another room, as the id of one of this server's bots.
    ///
    /// # Panics
    /// When the operating system provides no randomness.
    pub(crate) fn random(room: &Value) -> Self {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the operating system gives randomness");
        let random = u128::from_le_bytes(random);
        if room.is_number() {
            const BITS: u32 = 53;
            Self::Number(u64::try_from(random >> (u128::BITS - BITS)).unwrap_or(0).max(1))
        } else {
            Self::Name(format!("{random:032x}"))
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A message on the WebSocket.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    pub(crate) janus: String,
    pub(crate) transaction: Option<String>,
    /// The handle to which it belongs.
    pub(crate) sender: Option<u64>,
    pub(crate) data: Option<Created>,
    pub(crate) plugindata: Option<PluginData>,
    pub(crate) jsep: Option<Jsep>,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) error: Option<Refusal>,
    pub(crate) reason: Option<String>,
}

impl Message {
    /// Parses a message.
    pub(crate) fn read(text: &str) -> serde_json::Result<Self> {
        let mut message: Self = serde_json::from_str(text)?;
        bounds::REASON.cut_all(&mut message.reason);
        if let Some(refusal) = &mut message.error {
            refusal.reason = bounds::REASON.cut(std::mem::take(&mut refusal.reason));
        }
        if let Some(PluginData { data: event }) = &mut message.plugindata {
            bounds::REASON.cut_all(&mut event.reason);
            bounds::REASON.cut_all(&mut event.error);
            bounds::NAME.cut_all(&mut event.display);
            event.mid = event.mid.take().map(bounds::id);
            let people = event.publishers.iter_mut().chain(&mut event.attendees);
            people.chain(&mut event.joining).for_each(Person::cut);
            event.streams.truncate(bounds::STREAMS);
            for stream in &mut event.streams {
                stream.mid = stream.mid.take().map(bounds::id);
                stream.feed_mid = stream.feed_mid.take().map(bounds::id);
            }
        }
        Ok(message)
    }
}

fn cut_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(bounds::id)
}

/// A new session or handle.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    pub(crate) id: u64,
}

/// An error of Janus.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    #[serde(default)]
    pub(crate) reason: String,
}

/// A session description.
#[derive(Debug, Deserialize)]
pub(crate) struct Jsep {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) sdp: String,
    /// The offered media are end-to-end encrypted.
    #[serde(default)]
    pub(crate) e2ee: bool,
}

/// A trickled candidate of the server; without text it is the end of candidates.
#[derive(Debug, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) candidate: Option<String>,
}

/// A message of a plugin.
#[derive(Debug, Deserialize)]
pub(crate) struct PluginData {
    pub(crate) data: RoomEvent,
}

/// All answers and events of the `VideoRoom` plugin.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RoomEvent {
    pub(crate) videoroom: Option<String>,
    pub(crate) error_code: Option<u32>,
    pub(crate) error: Option<String>,
    /// The subject of the event; in the answer to a join, the bot itself.
    pub(crate) id: Option<Id>,
    pub(crate) display: Option<String>,
    pub(crate) publishers: Vec<Person>,
    pub(crate) attendees: Vec<Person>,
    pub(crate) joining: Option<Person>,
    /// The person who leaves; `ok` is the bot itself.
    pub(crate) leaving: Option<Id>,
    pub(crate) kicked: Option<Id>,
    pub(crate) unpublished: Option<Id>,
    pub(crate) reason: Option<String>,
    pub(crate) streams: Vec<Subscribed>,
    /// The track of the bot's session.
    pub(crate) mid: Option<String>,
    /// The simulcast layer that Janus sends on it from now on.
    pub(crate) substream: Option<u32>,
    /// `ok` once the answered session description is in use.
    pub(crate) started: Option<String>,
}

/// A person in the room.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: Id,
    #[serde(default)]
    pub(crate) display: Option<String>,
    #[serde(default)]
    pub(crate) streams: Vec<Stream>,
}

impl Person {
    fn cut(&mut self) {
        bounds::NAME.cut_all(&mut self.display);
        self.streams.truncate(bounds::STREAMS_OF_ONE);
        for stream in &mut self.streams {
            stream.mid = bounds::id(std::mem::take(&mut stream.mid));
            bounds::NAME.cut_all(&mut stream.description);
        }
    }
}

/// A stream of a person.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Stream {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) mid: String,
    #[serde(default)]
    pub(crate) codec: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) disabled: bool,
    #[serde(default, deserialize_with = "flag")]
    pub(crate) simulcast: bool,
}

/// A stream that the bot receives.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Subscribed {
    /// The `mid` in the bot's session.
    #[serde(default)]
    pub(crate) mid: Option<String>,
    /// The id of the sender.
    #[serde(default)]
    pub(crate) feed_id: Option<Id>,
    /// The `mid` among the sender's streams.
    #[serde(default)]
    pub(crate) feed_mid: Option<String>,
}

/// True, or "true": the documentation has both.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value == true || value == "true")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_is_truncated_when_it_is_parsed() {
        let long = "ä".repeat(2_000);
        let stream = json!({"type": "audio", "mid": long, "codec": long, "description": long});
        let streams = vec![stream; 20];
        let person = json!({"id": long, "display": long, "streams": streams});
        let subscribed = json!({"mid": long, "feed_id": long, "feed_mid": long});
        let event = json!({
            "id": long, "display": long, "reason": long, "error": long, "leaving": long, "kicked": long,
            "unpublished": long, "mid": long, "videoroom": long, "started": long,
            "publishers": [person], "attendees": [person], "joining": person, "streams": [subscribed],
        });
        let message = json!({
            "janus": long, "transaction": long, "reason": long, "error": {"code": 1, "reason": long},
            "plugindata": {"data": event},
        });
        let message = Message::read(&message.to_string()).unwrap();
        let error = message.error.unwrap().reason;
        let event = message.plugindata.unwrap().data;
        let texts = [message.reason.unwrap(), error, event.reason.unwrap(), event.error.unwrap()];
        assert!(texts.iter().all(|text| text.chars().count() == 500));
        let name = |name: &Option<String>| name.as_ref().unwrap().chars().count();
        assert_eq!(name(&event.display), 200);
        let id = |id: &Option<Id>| id.as_ref().unwrap().to_string().chars().count();
        let subscribed = &event.streams[0];
        for whose in
            [&event.id, &event.leaving, &event.kicked, &event.unpublished, &subscribed.feed_id]
        {
            assert_eq!(id(whose), 200);
        }
        for mid in [&event.mid, &subscribed.mid, &subscribed.feed_mid] {
            assert_eq!(name(mid), 200);
        }
        let people = event.publishers.iter().chain(&event.attendees).chain(&event.joining);
        for person in people {
            assert_eq!((id(&Some(person.id.clone())), name(&person.display)), (200, 200));
            assert_eq!(person.streams.len(), bounds::STREAMS_OF_ONE);
            assert!(person.streams.iter().all(|stream| stream.mid.chars().count() == 200));
        }
    }

    #[test]
    fn a_random_id_is_unique_and_has_the_type_and_range_of_the_server() {
        let of = |room: &Value| json!(Id::random(room));
        let numbers: HashSet<u64> = (0..1000).map(|_| of(&json!(7)).as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), 1000);
        assert!(numbers.iter().all(|number| (1..1 << 53).contains(number)));
        assert!(numbers.iter().any(|number| *number > 1 << 48));
        let text = of(&json!("stand up"));
        assert_eq!(text.as_str().unwrap().len(), 32);
        assert_ne!(of(&json!("stand up")), text);
    }
}
