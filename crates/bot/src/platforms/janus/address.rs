//! The parts of a Janus link.

use meetbot_types::{JanusLink, MeetingLink};
use serde_json::Value;
use url::Url;

/// A meeting on a Janus server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The server's WebSocket (`ws` or `wss`), without the parameters that name the meeting.
    pub(crate) server: Url,
    /// The room of the `VideoRoom` plugin.
    pub(crate) room: Value,
    /// The room of the `TextRoom` plugin; `None`: the meeting has no chat.
    pub(crate) text_room: Option<Value>,
    /// The pin of both rooms.
    pub(crate) pin: Option<String>,
}

impl Address {
    /// The parts of a link; `None` if it is not a Janus link.
    pub(crate) fn of(link: &MeetingLink) -> Option<Self> {
        let JanusLink { server, room: id, text_room, pin } = JanusLink::read(&link.url)?;
        let text_room = text_room.as_deref().map(room);
        Some(Self { server, room: room(&id), text_room, pin })
    }

    /// The room's name as text: the same for all links to the room.
    pub(crate) fn room_name(&self) -> String {
        self.room.as_str().map_or_else(|| self.room.to_string(), str::to_owned)
    }
}

/// Rooms have numbers, unless the server's `string_ids` is on: then they have names.
fn room(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| id.into(), Value::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_links_to_a_room_give_the_same_name() {
        for (url, name) in [
            ("janus+ws://192.0.2.2:8188/?room=1234", "1234"),
            ("janus+wss://janus.example.org/janus?pin=1&room=01234&textroom=9", "1234"),
            ("janus+ws://h?room=stand%20up", "stand up"),
            ("janus+ws://h/?x=1&room=stand+up", "stand up"),
        ] {
            let address = Address::of(&MeetingLink::parse(url, None).unwrap()).unwrap();
            assert_eq!(address.room_name(), name, "{url}");
        }
    }

    #[test]
    fn a_numeric_room_id_is_a_number() {
        let link = "janus+wss://h/?room=1234&pin=12&textroom=stand%20up";
        let address = Address::of(&MeetingLink::parse(link, None).unwrap()).unwrap();
        assert_eq!((address.room, address.text_room), (json!(1234), Some(json!("stand up"))));
        assert_eq!(address.pin.as_deref(), Some("12"));
    }
}
