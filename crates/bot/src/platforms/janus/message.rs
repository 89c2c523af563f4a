//! What Janus says, as far as a bot listens, each text cut. Unknown words and fields are passed over: servers of many versions are met.

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
    /// An id that nobody else has, of the kind that a server with this room knows: a number as large as a browser can hold, or a text.
    ///
    /// The bot chooses it, and not the server: so no server can make this one take a person's id, there or elsewhere, for that of one of its bots.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
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
    /// The handle it is about.
    pub(crate) sender: Option<u64>,
    pub(crate) data: Option<Created>,
    pub(crate) plugindata: Option<PluginData>,
    pub(crate) jsep: Option<Jsep>,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) error: Option<Refusal>,
    pub(crate) reason: Option<String>,
}

impl Message {
    /// Reads what stands on the WebSocket.
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

/// Why Janus itself refuses.
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
    /// What it offers is encrypted by those who send it, also from the server.
    #[serde(default)]
    pub(crate) e2ee: bool,
}

/// A candidate of the server, where it tells them one by one; without text it was the last.
#[derive(Debug, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) candidate: Option<String>,
}

/// What a plugin says.
#[derive(Debug, Deserialize)]
pub(crate) struct PluginData {
    pub(crate) data: RoomEvent,
}

/// What the `VideoRoom` says; all its answers and events in one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RoomEvent {
    pub(crate) videoroom: Option<String>,
    pub(crate) error_code: Option<u32>,
    pub(crate) error: Option<String>,
    /// Whom it is about; in the answer to a join the bot itself.
    pub(crate) id: Option<Id>,
    pub(crate) display: Option<String>,
    pub(crate) publishers: Vec<Person>,
    pub(crate) attendees: Vec<Person>,
    pub(crate) joining: Option<Person>,
    /// Who leaves; `ok` is the bot itself.
    pub(crate) leaving: Option<Id>,
    pub(crate) kicked: Option<Id>,
    pub(crate) unpublished: Option<Id>,
    pub(crate) reason: Option<String>,
    pub(crate) streams: Vec<Subscribed>,
    /// The track of the bot's session that it is about.
    pub(crate) mid: Option<String>,
    /// The layer that Janus sends on it from now on.
    pub(crate) substream: Option<u32>,
    /// `ok` once the session description that was answered is in use.
    pub(crate) started: Option<String>,
}

/// Someone in the room.
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

/// A stream that someone sends.
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

/// A stream as the bot gets it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Subscribed {
    /// In the bot's session.
    #[serde(default)]
    pub(crate) mid: Option<String>,
    /// Whose.
    #[serde(default)]
    pub(crate) feed_id: Option<Id>,
    /// Which of theirs.
    #[serde(default)]
    pub(crate) feed_mid: Option<String>,
}

/// True, or "true": the documentation has it both ways.
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
    fn every_text_is_cut_where_it_comes_in() {
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
    fn an_id_is_one_that_the_server_and_browsers_can_hold_and_that_nobody_has() {
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
