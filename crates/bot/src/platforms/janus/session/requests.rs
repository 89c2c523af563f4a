//! What the bot says to Janus.

use serde_json::{Value, json};

use super::{Act, Handle, Session};

/// The transaction of the bot's own candidates.
pub(super) const TRICKLE: &str = "trickle";

impl Session {
    pub(super) fn request(&self, handle: Handle, transaction: &str, body: &Value) -> Value {
        json!({
            "janus": "message", "session_id": self.id, "handle_id": self.handles[handle as usize],
            "transaction": transaction, "body": body,
        })
    }

    /// Asks for a keyframe of a track.
    ///
    /// In words, not in RTCP: Janus 1.1.2 looks up whose feedback it is by the first receiver report or RTP feedback in a packet, and throws a
    /// picture loss indication away that comes alone or behind another track's. Sending that is on already and switched on again asks too.
    pub(crate) fn keyframe(&self, mid: &str) -> Value {
        let body = json!({"request": "configure", "streams": [{"mid": mid, "send": true}]});
        self.request(Handle::Media, "keyframe", &body)
    }

    /// The answer to an offer of Janus, to be sent.
    pub(crate) fn answered(&self, handle: Handle, sdp: &str) -> Value {
        let request = if handle == Handle::Chat { "ack" } else { "start" };
        let mut message = self.request(handle, request, &json!({"request": request}));
        message["jsep"] = json!({"type": "answer", "sdp": sdp});
        message
    }

    /// A candidate of the bot's that the answer did not hold.
    pub(crate) fn candidate(&self, handle: Handle, candidate: &str) -> Value {
        json!({
            "janus": "trickle", "session_id": self.id, "handle_id": self.handles[handle as usize],
            "transaction": TRICKLE, "candidate": {"candidate": candidate, "sdpMLineIndex": 0},
        })
    }

    /// The last words.
    pub(crate) fn leave(&self) -> [Value; 2] {
        [
            self.request(Handle::Roster, "leave", &json!({"request": "leave"})),
            json!({"janus": "destroy", "session_id": self.id, "transaction": "destroy"}),
        ]
    }
}

pub(super) fn attach(session: Option<u64>, plugin: &str, transaction: &str) -> Act {
    let plugin = format!("janus.plugin.{plugin}");
    Act::Send(json!({
        "janus": "attach", "session_id": session, "plugin": plugin, "transaction": transaction,
    }))
}
