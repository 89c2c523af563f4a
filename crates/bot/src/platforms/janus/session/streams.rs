//! What the bot asks for of what the others send, and what Janus answers.

use std::time::Instant;

use serde_json::json;

use super::{Act, Handle, MEDIA_PATIENCE, Path, Session, requests::attach};
use crate::platforms::janus::message::Message;

impl Session {
    /// Asks for streams that are there and were not asked for yet.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Act> {
        if self.own_id.is_none() || self.handles[Handle::Media as usize].is_none() {
            return None;
        }
        let mut join = json!({"request": "join", "ptype": "subscriber", "room": self.room});
        if let Some(pin) = &self.pin {
            join["pin"] = pin.as_str().into();
        }
        let body = self.streams.ask(&mut self.roster, join, now)?;
        if self.path == Path::None {
            self.path = Path::Due(now + MEDIA_PATIENCE);
        }
        Some(Act::Send(self.request(Handle::Media, "subscribe", &body)))
    }

    /// An answer or event of the subscription.
    pub(super) fn subscription(&mut self, message: Message, now: Instant) -> Vec<Act> {
        let event = message.plugindata.map(|room| room.data).unwrap_or_default();
        if let Some(code) = event.error_code {
            tracing::debug!(code, why = event.error, "a request about streams is refused");
            if message.transaction.as_deref() == Some("subscribe") {
                self.streams.refuse(now);
                self.expect_no_path();
            }
            return self.ask(now).into_iter().chain(self.admit()).collect();
        }
        let offer = message.jsep.filter(|jsep| jsep.kind == "offer");
        if !self.streams.is_open() && offer.as_ref().is_some_and(|offer| offer.e2ee) {
            return self.without_encrypted();
        }
        let settled = self.streams.hear(event, offer.is_some(), &self.roster, now);
        let answer = offer.map(|jsep| Act::Answer { handle: Handle::Media, sdp: jsep.sdp });
        let more = if settled { self.ask(now) } else { None };
        answer.into_iter().chain(more).collect()
    }

    /// No media path comes up for what is not given.
    fn expect_no_path(&mut self) {
        if !self.streams.is_open() && matches!(self.path, Path::Due(_)) {
            self.path = Path::None;
        }
    }

    /// A subscription that begins with what is encrypted end to end gets nothing else ever: the bot begins another, without.
    fn without_encrypted(&mut self) -> Vec<Act> {
        self.streams.give_up();
        self.expect_no_path();
        let handle = self.handles[Handle::Media as usize].take();
        let detach = json!({
            "janus": "detach", "session_id": self.id, "handle_id": handle, "transaction": "detach",
        });
        let attach = attach(self.id, "videoroom", "attach-media");
        [Act::Send(detach), attach].into_iter().chain(self.admit()).collect()
    }
}
