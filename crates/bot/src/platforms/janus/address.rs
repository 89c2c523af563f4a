//! What a Janus link says: where the server is, and which rooms make the meeting.

use meetbot_types::MeetingLink;
use serde_json::Value;
use url::Url;

/// The parameters of a link that are ours; the server sees the others only.
const OURS: [&str; 3] = ["room", "pin", "textroom"];

/// A meeting on a Janus server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The server's WebSocket (`ws` or `wss`), without the parameters that are ours.
    pub(crate) server: Url,
    /// The room of the `VideoRoom` plugin.
    pub(crate) room: Value,
    /// The room of the `TextRoom` plugin; `None`: the meeting has no chat.
    pub(crate) text_room: Option<Value>,
    /// What both rooms ask for.
    pub(crate) pin: Option<String>,
}

impl Address {
    /// Reads a link; `None` when it is no link of Janus.
    pub(crate) fn of(link: &MeetingLink) -> Option<Self> {
        let mut server = Url::parse(link.url.strip_prefix("janus+")?).ok()?;
        let given: Vec<(String, String)> = server.query_pairs().into_owned().collect();
        server.set_query(None);
        for (name, value) in given.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            server.query_pairs_mut().append_pair(name, value);
        }
        let text_room = given.iter().find(|(name, value)| name == "textroom" && !value.is_empty());
        Some(Self {
            server,
            room: room(&link.meeting_id),
            text_room: text_room.map(|(_, id)| room(id)),
            pin: link.passcode.clone(),
        })
    }

    /// The room's name in words: the same for all links that lead there.
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
    fn a_room_has_one_name_whatever_link_leads_there() {
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
    fn a_link_names_the_server_and_the_rooms() {
        for (url, server, room, text_room, pin) in [
            (
                "janus+wss://janus.example.org/janus?room=1234&pin=00%2600&textroom=99&token=t",
                "wss://janus.example.org/janus?token=t",
                json!(1234),
                Some(json!(99)),
                Some("00&00"),
            ),
            (
                "janus+ws://[2001:db8::1]:8188?room=stand%20up&textroom=",
                "ws://[2001:db8::1]:8188/",
                json!("stand up"),
                None,
                None,
            ),
        ] {
            let address = Address::of(&MeetingLink::parse(url, None).unwrap()).unwrap();
            assert_eq!(address.server.as_str(), server);
            assert_eq!((address.room, address.text_room), (room, text_room));
            assert_eq!(address.pin.as_deref(), pin);
        }
    }
}
