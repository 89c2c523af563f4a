//! Subscribing to streams, and the answers of Janus.

use std::time::Instant;

use serde_json::json;

use super::{Action, Handle, MEDIA_TIMEOUT, Path, Session, requests::attach};
use crate::platforms::janus::message::Message;

impl Session {
    /// Subscribes to streams that were not requested yet.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Action> {
        if self.own_id.is_none() || self.handles[Handle::Media as usize].is_none() {
            return None;
        }
        let mut join = json!({"request": "join", "ptype": "subscriber", "room": self.room});
        if let Some(pin) = &self.pin {
            join["pin"] = pin.as_str().into();
        }
        let body = self.streams.ask(&mut self.roster, join, now)?;
        if self.path == Path::None {
            self.path = Path::Due(now + MEDIA_TIMEOUT);
        }
        Some(Action::Send(self.request(Handle::Media, "subscribe", &body)))
    }

    /// Handles an answer or event of the subscription.
    pub(super) fn subscription(&mut self, message: Message, now: Instant) -> Vec<Action> {
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
        let settled = self.streams.on_event(event, offer.is_some(), &self.roster, now);
        let answer = offer.map(|jsep| Action::Answer { handle: Handle::Media, sdp: jsep.sdp });
        let more = if settled { self.ask(now) } else { None };
        answer.into_iter().chain(more).collect()
    }

    /// No media path is expected, because no stream was granted.
    fn expect_no_path(&mut self) {
        if !self.streams.is_open() && matches!(self.path, Path::Due(_)) {
            self.path = Path::None;
        }
    }

    /// A subscription that begins with an end-to-end encrypted stream never receives others: the bot begins a new one without it.
    fn without_encrypted(&mut self) -> Vec<Action> {
        self.streams.give_up();
        self.expect_no_path();
        let handle = self.handles[Handle::Media as usize].take();
        let detach = json!({
            "janus": "detach", "session_id": self.id, "handle_id": handle, "transaction": "detach",
        });
        let attach = attach(self.id, "videoroom", "attach-media");
        [Action::Send(detach), attach].into_iter().chain(self.admit()).collect()
    }
}
