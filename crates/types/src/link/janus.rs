//! A link of Janus: where the server is, and which rooms make the meeting. The server and its bots read it here.

use std::fmt;

use url::Url;

/// The parameters of a link that name the meeting; the others are sent to the server.
const OURS: [&str; 3] = ["room", "pin", "textroom"];

/// A meeting on a Janus server, as in `janus+wss://host/path?room=1234&pin=0000&textroom=1234`.
///
/// Only these schemes name one. An `https` URL of a Janus server is its web page or its HTTP interface, and nothing in it says where the WebSocket is.
#[derive(Clone, PartialEq, Eq)]
pub struct JanusLink {
    /// The server's WebSocket (`ws` or `wss`), without the parameters that name the meeting.
    pub server: Url,
    /// The room of the `VideoRoom` plugin.
    pub room: String,
    /// The room of the `TextRoom` plugin; `None`: the meeting has no chat.
    pub text_room: Option<String>,
    /// The PIN of both rooms.
    pub pin: Option<String>,
}

impl JanusLink {
    /// Reads a link; `None` when it is no link of Janus, or names no room. Of a parameter that is given twice the first counts; an empty one is none.
    pub fn read(url: &str) -> Option<Self> {
        let mut server = Url::parse(url.strip_prefix("janus+")?).ok()?;
        if !matches!(server.scheme(), "ws" | "wss") {
            return None;
        }
        let given: Vec<(String, String)> = server.query_pairs().into_owned().collect();
        // A WebSocket's URL has no fragment (RFC 6455, 3).
        server.set_fragment(None);
        server.set_query(None);
        for (name, value) in given.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            server.query_pairs_mut().append_pair(name, value);
        }
        let parameter = |wanted: &str| {
            let (_, value) = given.iter().find(|(name, _)| name == wanted)?;
            Some(value.clone()).filter(|value| !value.is_empty())
        };
        let (text_room, pin) = (parameter("textroom"), parameter("pin"));
        Some(Self { room: parameter("room")?, server, text_room, pin })
    }
}

/// Shows neither the PIN nor the parameters for the server.
impl fmt::Debug for JanusLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JanusLink").field("room", &self.room).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_server_and_the_rooms() {
        let link =
            "janus+wss://janus.example.org/janus?room=1234&pin=00%2600&textroom=99&token=t#x";
        let read = JanusLink::read(link).unwrap();
        assert_eq!(read.server.as_str(), "wss://janus.example.org/janus?token=t");
        assert_eq!((read.room.as_str(), read.text_room.as_deref()), ("1234", Some("99")));
        assert_eq!(read.pin.as_deref(), Some("00&00"));
        let read =
            JanusLink::read("janus+ws://[2001:db8::1]:8188?room=stand%20up&textroom=").unwrap();
        assert_eq!(read.server.as_str(), "ws://[2001:db8::1]:8188/");
        assert_eq!((read.room.as_str(), read.text_room, read.pin), ("stand up", None, None));
    }

    #[test]
    fn a_link_without_a_room_or_a_websocket_is_not_a_janus_link() {
        for link in [
            "janus+ws://h/",
            "janus+ws://h/?room=",
            "https://h/?room=1",
            "wss://h/?room=1",
            "janus+https://h/?room=1",
            "janus+ws:1",
        ] {
            assert!(JanusLink::read(link).is_none(), "{link}");
        }
    }
}
