//! A Janus room of many people, for `cargo xtask bench people`.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it cannot go on")]

use std::time::Instant;

use meetbot_types::MeetingLink;
use serde_json::{Value, json};

use super::{
    address::Address,
    message::{Id, Message},
    session::Session,
};
use crate::clock;

/// A room that the bot is in.
pub(crate) struct Room {
    session: Session,
    now: Instant,
}

impl Room {
    /// A room with this many people, each of whom sends audio.
    pub(crate) fn of(people: usize) -> Self {
        let link = MeetingLink::parse("janus+wss://janus.example.com/?room=1234", None).unwrap();
        let address = Address::of(&link).unwrap();
        let now = clock::now();
        let (session, _) =
            Session::begin(&address, "meetbot".to_owned(), Id::Number(1), Vec::new(), now);
        let mut room = Self { session, now };
        for (transaction, id) in [("create", 1), ("attach-roster", 2), ("attach-media", 3)] {
            room.on_message(
                &json!({"janus": "success", "transaction": transaction, "data": {"id": id}}),
            );
        }
        let person = |id| json!({"id": id, "display": "Guest", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]});
        let publishers: Vec<Value> = (0..people).map(|number| person(number + 10)).collect();
        room.on_event(&json!({"videoroom": "joined", "id": 1, "publishers": publishers}));
        room
    }

    /// Handles an event of the room.
    pub(crate) fn on_event(&mut self, event: &Value) {
        self.on_message(&json!({"janus": "event", "sender": 2, "plugindata": {"data": event}}));
    }

    fn on_message(&mut self, message: &Value) {
        let message = Message::read(&message.to_string()).unwrap();
        self.session.on_message(message, self.now).unwrap();
        self.session.poll(self.now).unwrap();
        self.session.wake();
    }
}
