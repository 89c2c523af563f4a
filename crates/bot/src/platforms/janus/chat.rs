//! The meeting's chat: the `TextRoom` plugin, over a data channel.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{bounds, meeting::ChatLine};

/// The data channel's label that Janus requires.
pub(crate) const CHANNEL: &str = "JanusDataChannel";

/// The bot's state in a text room.
#[derive(Debug)]
pub(crate) struct Chat {
    room: Value,
    /// The bot's unique name in the room.
    username: String,
    /// The number of the bot's join.
    join: String,
    /// Display names, by names in the room.
    names: HashMap<String, String>,
    received: u64,
    sent: u64,
    inside: bool,
}

/// A message of the room.
#[derive(Debug)]
pub(crate) enum ChatEvent {
    /// A chat message.
    Line(ChatLine),
    /// The bot is not admitted, for this reason.
    Refused(String),
    /// No relevant message.
    Nothing,
}

#[derive(Deserialize)]
struct Word {
    #[serde(default)]
    textroom: String,
    transaction: Option<String>,
    from: Option<String>,
    text: Option<String>,
    #[serde(default)]
    whisper: bool,
    username: Option<String>,
    display: Option<String>,
    #[serde(default)]
    participants: Vec<Member>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    username: String,
    display: Option<String>,
}

const JOIN: &str = "join";

impl Chat {
    /// A room that `bot` has not joined yet. Each join has a different name: the name of the previous join may still be in the room, and message ids of two
    /// joins must differ.
    pub(crate) fn new(room: Value, bot: &str, join: String) -> Self {
        let username = format!("{bot}-{join}");
        Self { room, username, join, names: HashMap::new(), received: 0, sent: 0, inside: false }
    }

    /// The request to join, without the room's history from before.
    pub(crate) fn join(&self, pin: Option<&str>, display: &str) -> String {
        let mut join = json!({
            "textroom": "join", "transaction": JOIN, "room": self.room, "username": self.username,
            "display": display, "history": false,
        });
        if let Some(pin) = pin {
            join["pin"] = pin.into();
        }
        join.to_string()
    }

    /// Whether the bot is in the room: only then does the room accept its messages.
    pub(crate) const fn is_inside(&self) -> bool {
        self.inside
    }

    /// The request that sends a message to everyone.
    pub(crate) fn message(&mut self, text: &str) -> String {
        self.sent += 1;
        let transaction = format!("say-{}", self.sent);
        json!({"textroom": "message", "transaction": transaction, "room": self.room, "text": text})
            .to_string()
    }

    /// Handles a message of the room.
    pub(crate) fn on_message(&mut self, data: &[u8]) -> ChatEvent {
        let Ok(word) = serde_json::from_slice::<Word>(data) else { return ChatEvent::Nothing };
        match word.textroom.as_str() {
            "success" if word.transaction.as_deref() == Some(JOIN) => {
                self.inside = true;
                for member in word.participants {
                    self.add_member(member.username, member.display);
                }
            }
            "join" => {
                if let Some(username) = word.username {
                    self.add_member(username, word.display);
                }
            }
            "leave" => {
                if let Some(username) = word.username {
                    self.names.remove(&bounds::id(username));
                }
            }
            "message" => {
                let from = bounds::id(word.from.unwrap_or_default());
                // The room sends each message to everyone, the sender included.
                if from != self.username {
                    self.received += 1;
                    return ChatEvent::Line(ChatLine {
                        id: format!("chat-{}-{}", self.join, self.received),
                        sender: self.names.get(&from).unwrap_or(&from).clone(),
                        sender_id: from,
                        text: bounds::MESSAGE.cut(word.text.unwrap_or_default()),
                        private: word.whisper,
                        ms_ago: 0,
                    });
                }
            }
            "error" if word.transaction.as_deref() == Some(JOIN) => {
                return ChatEvent::Refused(bounds::REASON.cut(word.error.unwrap_or_default()));
            }
            "kicked" if word.username.as_ref() == Some(&self.username) => {
                self.inside = false;
                return ChatEvent::Refused("the bot was removed from it".to_owned());
            }
            "destroyed" => {
                self.inside = false;
                return ChatEvent::Refused("the room is gone".to_owned());
            }
            _ => {}
        }
        ChatEvent::Nothing
    }

    fn add_member(&mut self, username: String, display: Option<String>) {
        if let Some(display) = display.filter(|display| !display.is_empty())
            && self.names.len() < bounds::PEOPLE
        {
            self.names.insert(bounds::id(username), bounds::NAME.cut(display));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> Chat {
        Chat::new(json!(99), "bot", "2.1".to_owned())
    }

    #[test]
    fn the_bot_joins_with_the_pin_and_writes_only_after_it_is_admitted() {
        let mut chat = chat();
        let join: Value = serde_json::from_str(&chat.join(Some("7"), "Notes")).unwrap();
        assert_eq!(
            (&join["pin"], &join["display"], &join["room"]),
            (&json!("7"), &json!("Notes"), &json!(99))
        );
        assert!(!chat.is_inside());
        chat.on_message(br#"{"textroom":"success","transaction":"join","participants":[]}"#);
        assert!(chat.is_inside());
        let sent: Value = serde_json::from_str(&chat.message("hello")).unwrap();
        assert_eq!((&sent["textroom"], &sent["text"]), (&json!("message"), &json!("hello")));
    }

    #[test]
    fn lines_have_display_names_and_the_bots_own_are_skipped() {
        let mut chat = chat();
        chat.on_message(br#"{"textroom":"success","transaction":"join","participants":[{"username":"u1","display":"Ann"}]}"#);
        chat.on_message(br#"{"textroom":"join","room":99,"username":"u2","display":"Bob"}"#);
        let mut line = |text: &str| match chat.on_message(text.as_bytes()) {
            ChatEvent::Line(line) => {
                Some((line.id, line.sender_id, line.sender, line.text, line.private))
            }
            _ => None,
        };
        let own = |text: &str| text.to_owned();
        assert_eq!(
            line(r#"{"textroom":"message","from":"u1","text":"hi"}"#),
            Some((own("chat-2.1-1"), own("u1"), own("Ann"), own("hi"), false))
        );
        assert_eq!(
            line(r#"{"textroom":"message","from":"u2","text":"psst","whisper":true}"#),
            Some((own("chat-2.1-2"), own("u2"), own("Bob"), own("psst"), true))
        );
        assert_eq!(line(r#"{"textroom":"message","from":"bot-2.1","text":"mine"}"#), None);
        assert_eq!(line("no JSON"), None);
    }

    #[test]
    fn no_two_joins_share_a_name_or_a_line() {
        let names = |join: &str| {
            let mut chat = Chat::new(json!(99), "bot", join.to_owned());
            let asked: Value = serde_json::from_str(&chat.join(None, "Notes")).unwrap();
            let received = chat.on_message(br#"{"textroom":"message","from":"u1","text":"hi"}"#);
            let ChatEvent::Line(line) = received else { panic!("{received:?}") };
            (asked["username"].clone(), line.id)
        };
        let ((one, line), (other, another)) = (names("1.1"), names("1.2"));
        assert!(one != other && line != another, "{one} {other} {line} {another}");
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let received = chat().on_message(br#"{"textroom":"error","error_code":417,"error":"No such room (99)","transaction":"join"}"#);
        assert!(matches!(received, ChatEvent::Refused(why) if why == "No such room (99)"));
    }
}
