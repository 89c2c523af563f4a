//! The messages between a bot and the sandbox, over the sandbox's WebSocket: text frames, one JSON object each.

use serde::{Deserialize, Serialize};

use crate::{
    FailureCode, JobId,
    bot::{Lobby, Participant, RecordingRule},
};

/// The host of sandbox meetings.
pub const HOST: &str = "sandbox.meetbot.dev";

/// The scenario that a test key plays for any URL that is not a sandbox URL.
pub const DEFAULT_SCENARIO: &str = "two-speakers?seconds=20";

/// The scenario for which no worker is free. The server plays it, since no bot connects to the sandbox.
pub const NO_WORKER: &str = "no-worker";

/// A message from a bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum FromBot {
    /// It knocks. The meeting is the job's own; the scenario's time runs from the first knock that was answered.
    Join {
        /// The job.
        job_id: JobId,
        /// The scenario, as in `two-speakers?seconds=20`.
        scenario: String,
        /// The bot's name.
        name: String,
    },
    /// The answer to an offer.
    Answer {
        /// The session description.
        sdp: String,
    },
    /// A chat message to everyone.
    Chat {
        /// The text.
        text: String,
    },
    /// Asks the host for permission to record.
    RequestPermission,
    /// It leaves.
    Leave,
    /// Asks how the job's meeting went, instead of joining it (for tests and the demo).
    Inspect {
        /// The job.
        job_id: JobId,
    },
}

/// A message from the meeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum FromMeeting {
    /// The bot has to wait to be admitted.
    Lobby {
        /// Why.
        lobby: Lobby,
    },
    /// The bot is not admitted, and should not try again.
    Refused {
        /// Why.
        code: FailureCode,
        /// Why, in a sentence.
        detail: String,
    },
    /// The meeting is over (or was, before the bot came).
    Ended,
    /// The bot is admitted.
    Admitted {
        /// The bot's own id in the roster.
        self_id: String,
        /// Everyone who is there, the bot included.
        roster: Vec<Participant>,
        /// Whether the bot may record.
        recording: RecordingRule,
    },
    /// An offer; the first comes right after `Admitted`, later ones when tracks come or go.
    Offer {
        /// The session description.
        sdp: String,
        /// Whose each audio track is.
        tracks: Vec<TrackOwner>,
    },
    /// Someone came.
    ParticipantJoined {
        /// Who.
        participant: Participant,
    },
    /// Someone left.
    ParticipantLeft {
        /// Their id.
        id: String,
    },
    /// Someone wrote into the chat.
    Chat {
        /// The message's id.
        id: String,
        /// Who wrote it.
        sender_id: String,
        /// Their name.
        sender: String,
        /// The text.
        text: String,
        /// Whether only the bot was written to.
        private: bool,
    },
    /// What someone said, as the meeting's own captions have it.
    Caption {
        /// Who said it.
        speaker_id: String,
        /// Their name.
        speaker: String,
        /// How long ago they began to, in ms.
        began_ms_ago: u64,
        /// The text.
        text: String,
    },
    /// The host's answer to the request for permission.
    Permission {
        /// Whether it was yes.
        granted: bool,
    },
    /// The host took the bot out.
    Removed,
    /// The bot has to crash, for tests of what follows.
    Crash,
    /// The answer to [`FromBot::Inspect`]; empty for a job that never joined.
    Inspection(Inspection),
}

/// Whose a track is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackOwner {
    /// The track's `mid` in the session description.
    pub mid: String,
    /// The participant.
    pub participant_id: String,
}

/// The state of a job's meeting as the sandbox has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// How often a bot was let in.
    pub joins: u32,
    /// How many bots of the job are in the meeting now.
    pub present: u32,
    /// Packets sent to bots that were in the meeting, by participant.
    pub sent: Vec<SentPackets>,
    /// The chat messages that bots wrote.
    pub chat: Vec<String>,
}

/// What was sent of one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentPackets {
    /// Who.
    pub participant_id: String,
    /// Their name.
    pub name: String,
    /// How many packets.
    pub packets: u64,
}
