//! The bot's requests to Janus.

use serde_json::{Value, json};

use super::{Action, Handle, Session};

/// The transaction of the bot's own candidates.
pub(super) const TRICKLE: &str = "trickle";

impl Session {
    pub(super) fn request(&self, handle: Handle, transaction: &str, body: &Value) -> Value {
        json!({
            "janus": "message", "session_id": self.id, "handle_id": self.handles[handle as usize],
            "transaction": transaction, "body": body,
        })
    }

    /// Requests a keyframe of a track.
    ///
    /// It uses signalling, not RTCP: Janus 1.1.2 assigns feedback to a stream by the first receiver report or RTP feedback in a packet, and drops a
    /// picture loss indication that comes alone or behind another track's. Setting `send` to true again makes Janus request a keyframe.
    pub(crate) fn keyframe(&self, mid: &str) -> Value {
        let body = json!({"request": "configure", "streams": [{"mid": mid, "send": true}]});
        self.request(Handle::Media, "keyframe", &body)
    }

    /// The request with the answer to an offer of Janus.
    pub(crate) fn answered(&self, handle: Handle, sdp: &str) -> Value {
        let request = if handle == Handle::Chat { "ack" } else { "start" };
        let mut message = self.request(handle, request, &json!({"request": request}));
        message["jsep"] = json!({"type": "answer", "sdp": sdp});
        message
    }

    /// The request with a candidate of the bot that is not in the answer.
    pub(crate) fn candidate(&self, handle: Handle, candidate: &str) -> Value {
        json!({
            "janus": "trickle", "session_id": self.id, "handle_id": self.handles[handle as usize],
            "transaction": TRICKLE, "candidate": {"candidate": candidate, "sdpMLineIndex": 0},
        })
    }

    /// The requests that end the session.
    pub(crate) fn leave(&self) -> [Value; 2] {
        [
            self.request(Handle::Roster, "leave", &json!({"request": "leave"})),
            json!({"janus": "destroy", "session_id": self.id, "transaction": "destroy"}),
        ]
    }
}

pub(super) fn attach(session: Option<u64>, plugin: &str, transaction: &str) -> Action {
    let plugin = format!("janus.plugin.{plugin}");
    Action::Send(json!({
        "janus": "attach", "session_id": session, "plugin": plugin, "transaction": transaction,
    }))
}
