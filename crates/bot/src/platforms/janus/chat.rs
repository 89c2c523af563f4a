//! The meeting's chat: the `TextRoom` plugin, whose words go over a data channel.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{bounds, meeting::ChatLine};

/// The channel that Janus listens on.
pub(crate) const CHANNEL: &str = "JanusDataChannel";

/// A text room, from the bot's side.
#[derive(Debug)]
pub(crate) struct Chat {
    room: Value,
    /// The bot's own name in the room: nobody else's.
    username: String,
    /// Which of the bot's joins this is.
    join: String,
    /// What people call themselves, by their names in the room.
    names: HashMap<String, String>,
    heard: u64,
    said: u64,
    inside: bool,
}

/// What the room said.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Someone wrote.
    Line(ChatLine),
    /// The bot is not let in, for this reason.
    Refused(String),
    /// Nothing that matters.
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
    /// A room that `bot` is not in yet. No two of its joins have the same name: from the one before it may still be in the room, and what it
    /// heard then is not what it hears now.
    pub(crate) fn new(room: Value, bot: &str, join: String) -> Self {
        let username = format!("{bot}-{join}");
        Self { room, username, join, names: HashMap::new(), heard: 0, said: 0, inside: false }
    }

    /// The bot comes in. What was written before it came is not asked for: it was not there.
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

    /// Whether the bot is in the room: only then does it take what the bot writes.
    pub(crate) const fn is_inside(&self) -> bool {
        self.inside
    }

    /// A message to everyone.
    pub(crate) fn say(&mut self, text: &str) -> String {
        self.said += 1;
        let transaction = format!("say-{}", self.said);
        json!({"textroom": "message", "transaction": transaction, "room": self.room, "text": text})
            .to_string()
    }

    /// The room says something.
    pub(crate) fn hear(&mut self, data: &[u8]) -> Heard {
        let Ok(word) = serde_json::from_slice::<Word>(data) else { return Heard::Nothing };
        match word.textroom.as_str() {
            "success" if word.transaction.as_deref() == Some(JOIN) => {
                self.inside = true;
                for member in word.participants {
                    self.meet(member.username, member.display);
                }
            }
            "join" => {
                if let Some(username) = word.username {
                    self.meet(username, word.display);
                }
            }
            "leave" => {
                if let Some(username) = word.username {
                    self.names.remove(&bounds::id(username));
                }
            }
            "message" => {
                let from = bounds::id(word.from.unwrap_or_default());
                // The room sends everyone's words to everyone, the bot's own to the bot too.
                if from != self.username {
                    self.heard += 1;
                    return Heard::Line(ChatLine {
                        id: format!("chat-{}-{}", self.join, self.heard),
                        sender: self.names.get(&from).unwrap_or(&from).clone(),
                        sender_id: from,
                        text: bounds::MESSAGE.cut(word.text.unwrap_or_default()),
                        private: word.whisper,
                        ms_ago: 0,
                    });
                }
            }
            "error" if word.transaction.as_deref() == Some(JOIN) => {
                return Heard::Refused(bounds::REASON.cut(word.error.unwrap_or_default()));
            }
            "kicked" if word.username.as_ref() == Some(&self.username) => {
                self.inside = false;
                return Heard::Refused("the bot was taken out of it".to_owned());
            }
            "destroyed" => {
                self.inside = false;
                return Heard::Refused("the room is gone".to_owned());
            }
            _ => {}
        }
        Heard::Nothing
    }

    fn meet(&mut self, username: String, display: Option<String>) {
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
    fn the_bot_comes_in_with_the_pin_and_writes_only_inside() {
        let mut chat = chat();
        let join: Value = serde_json::from_str(&chat.join(Some("7"), "Notes")).unwrap();
        assert_eq!(
            (&join["pin"], &join["display"], &join["room"]),
            (&json!("7"), &json!("Notes"), &json!(99))
        );
        assert!(!chat.is_inside());
        chat.hear(br#"{"textroom":"success","transaction":"join","participants":[]}"#);
        assert!(chat.is_inside());
        let said: Value = serde_json::from_str(&chat.say("hello")).unwrap();
        assert_eq!((&said["textroom"], &said["text"]), (&json!("message"), &json!("hello")));
    }

    #[test]
    fn lines_carry_names_and_the_bots_own_are_left_out() {
        let mut chat = chat();
        chat.hear(br#"{"textroom":"success","transaction":"join","participants":[{"username":"u1","display":"Ann"}]}"#);
        chat.hear(br#"{"textroom":"join","room":99,"username":"u2","display":"Bob"}"#);
        let mut line = |text: &str| match chat.hear(text.as_bytes()) {
            Heard::Line(line) => {
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
            let heard = chat.hear(br#"{"textroom":"message","from":"u1","text":"hi"}"#);
            let Heard::Line(line) = heard else { panic!("{heard:?}") };
            (asked["username"].clone(), line.id)
        };
        let ((one, line), (other, another)) = (names("1.1"), names("1.2"));
        assert!(one != other && line != another, "{one} {other} {line} {another}");
    }

    #[test]
    fn a_refusal_says_why() {
        let heard = chat().hear(br#"{"textroom":"error","error_code":417,"error":"No such room (99)","transaction":"join"}"#);
        assert!(matches!(heard, Heard::Refused(why) if why == "No such room (99)"));
    }
}
