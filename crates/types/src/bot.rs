//! Messages between a server and its bots: orders, reports and commands. Not part of the public API.

mod browser;
mod counters;
mod defaults;
mod mix;
mod spool;
mod zoom;

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

pub use self::browser::{BrowserSettings, EVIDENCE_FOLDER, ImitationSeat};
pub use self::counters::MediaCounters;
pub use self::defaults::ALONE_HOURS;
pub use self::mix::MixOrder;
pub use self::spool::{BegunRecording, spool_of, spool_uri};
pub use self::zoom::{ZoomApp, ZoomStream, ZoomStreamState};
pub use crate::secret::Secret;
use crate::{
    AddressPolicy, AutoLeave, CommandId, ControlAction, ControlState, Ending, Failure, JobId,
    JobStatus, LeaveReason, MeetingLink, Platform, Timestamp, signature,
};

/// How long a bot's lease lasts; any accepted report renews it.
pub const LEASE_SECONDS: u32 = 30;
/// How often a bot reports even when nothing happens, where its order does not say otherwise.
pub const HEARTBEAT_SECONDS: u32 = 5;

/// The attempt after which a recording that cannot be finalised is given up. The server soon waits ten minutes between attempts, so this is about a day.
pub const LAST_ATTEMPT: u32 = 150;

/// The header in which a bot shows [`BotOrder::claim_signature`].
pub const CLAIM_SIGNATURE: &str = "meetbot-claim-signature";

/// Everything a bot needs for one attempt at one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BotOrder {
    /// The job.
    pub job_id: JobId,
    /// The attempt, from 1. Writes of an older attempt are rejected.
    pub epoch: u32,
    /// The token that authenticates the bot to the orchestrator, for this job and this attempt.
    pub token: Secret,
    /// The orchestrator's signature of the claim, which the bot shows with its reports in [`CLAIM_SIGNATURE`]; `None` in orders of older servers.
    #[serde(default)]
    pub claim_signature: Option<Secret>,
    /// The orchestrator's URL, without a path.
    pub orchestrator_url: String,
    /// The URLs of further servers of the same orchestrator, which the bot uses if the first does not answer.
    #[serde(default)]
    pub other_urls: Vec<String>,
    /// The meeting.
    pub link: MeetingLink,
    /// The meeting's URL as it was given.
    pub meeting_url: String,
    /// The caller's own id for the job.
    pub external_id: Option<String>,
    /// The name to show.
    pub display_name: String,
    /// When to leave.
    pub auto_leave: AutoLeave,
    /// Whether to record cameras; `None`: the job does not say.
    #[serde(default)]
    pub record_video: Option<bool>,
    /// The account as which the bot joins; its profile is in the data folder. `None`: as a guest.
    #[serde(default)]
    pub account: Option<String>,
    /// How long ago the job's first bot was admitted, in ms; `None` if none was yet. The longest stay of `auto_leave` counts from then.
    pub joined_ms_ago: Option<u64>,
    /// The sandbox that plays the meeting; `None` for a real meeting.
    pub sandbox: Option<SandboxSeat>,
    /// The Zoom app whose streams the bot may receive, for a real Zoom meeting.
    #[serde(default)]
    pub zoom: Option<ZoomApp>,
    /// The browser that the bot may use; `None` if it has none, as in orders of older servers.
    #[serde(default)]
    pub browser: Option<BrowserSettings>,
    /// The local imitation of the product's web site that plays the meeting to the browser, in tests and demonstrations.
    #[serde(default)]
    pub imitation: Option<ImitationSeat>,
    /// The addresses that the meeting's server may have.
    #[serde(rename = "reach")]
    pub address_policy: AddressPolicy,
    /// STUN servers that report the bot's public address, as in `stun.example.com:3478`.
    pub stun_servers: Vec<String>,
    /// The job's folder; this attempt writes into `e<epoch>` in it.
    pub folder: PathBuf,
    /// The name of the worker's data folder, if that is not the server's: the worker itself uploads the recording.
    #[serde(default)]
    pub spool: Option<String>,
    /// What the server knows of the recording so far; `None` before the first packet.
    #[serde(default)]
    pub begun: Option<BegunRecording>,
    /// The most bytes that the job's folder may hold, earlier attempts included; `None`: no limit.
    #[serde(default)]
    pub most_bytes: Option<u64>,
    /// The interval of heartbeats, in ms.
    #[serde(default = "defaults::heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// How long a bot in a process of its own goes on while no server answers it, in ms.
    #[serde(default = "defaults::alone_ms")]
    pub alone_ms: u64,
    /// If set: join no meeting, finalise the files on disk, and end the job this way.
    pub finalize: Option<Ending>,
}

/// Where the sandbox plays a job's meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxSeat {
    /// The sandbox's WebSocket.
    pub address: String,
    /// The scenario, as in `two-speakers?seconds=20`.
    pub scenario: String,
    /// The token that authenticates the bot to the sandbox. `None` in orders of servers before tokens.
    #[serde(default)]
    pub token: Option<Secret>,
}

words! {
    /// Audio or video.
    pub enum MediaKind {
        /// Audio.
        Audio = "audio",
        /// Video.
        Video = "video",
    }
}

words! {
    /// Why a bot waits in the lobby.
    pub enum Lobby {
        /// Someone has to admit it.
        WaitingRoom = "waiting_room",
        /// The meeting says that its host is not there.
        WaitingForHost = "waiting_for_host",
    }
}

/// A line of `captions.jsonl`: what someone said, as the meeting's own captions have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Caption {
    /// Who said it.
    pub speaker_id: String,
    /// Their name.
    pub speaker: String,
    /// From, in ms from the recording's start.
    pub start_ms: u64,
    /// To, in ms.
    pub end_ms: u64,
    /// The text.
    pub text: String,
}

/// Whether a meeting lets a bot record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingRule {
    /// Without asking.
    #[default]
    Free,
    /// When the host permits it.
    AskHost,
    /// Never.
    Forbidden,
}

/// Someone in a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The meeting's id for them.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Whether they are a host.
    pub is_host: bool,
    /// Whether it is another bot.
    pub is_bot: bool,
}

/// A line of a meeting's chat, and of `chat.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage {
    /// The message's id.
    pub id: String,
    /// Who wrote it.
    pub sender_id: String,
    /// Their name.
    pub sender: String,
    /// The text.
    pub text: String,
    /// Whether only the bot was written to.
    pub private: bool,
    /// When, in milliseconds from the recording's `startedAt`.
    pub at_ms: u64,
}

/// A report of a bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum BotReport {
    /// A heartbeat.
    Heartbeat {
        /// What it has recorded.
        media: MediaCounters,
    },
    /// It joins a meeting's room under this id, so that other bots of the server there know that it is one. A bot that joins again has another id.
    JoiningAs {
        /// The platform, which says what a room and an id are.
        platform: Platform,
        /// The platform's name for the room, whatever link leads there.
        room: String,
        /// The id that others in the room see.
        participant_id: String,
    },
    /// It waits to be admitted.
    Waiting {
        /// Why.
        lobby: Lobby,
    },
    /// It lost the connection to the meeting and is reconnecting; the status stays.
    Reconnecting,
    /// People are in the call, and the bot has received no media from them for a while.
    MediaStalled,
    /// It receives media again.
    MediaFlows,
    /// It is in the call: the roster holds it and the media path is up.
    Admitted,
    /// The first packet is on disk.
    RecordingStarted,
    /// The recording is paused.
    RecordingPaused,
    /// The recording is resumed.
    RecordingResumed {
        /// How long the recording was paused in all, in ms.
        paused_ms: u64,
    },
    /// Stopped for good; the bot stays.
    RecordingStopped {
        /// How long the recording was paused in all, in ms.
        paused_ms: u64,
    },
    /// The host was asked for permission.
    PermissionRequested,
    /// The host's answer.
    PermissionAnswered {
        /// Whether it was yes.
        granted: bool,
    },
    /// Someone joined.
    ParticipantJoined {
        /// Who.
        participant: Participant,
    },
    /// Someone has another name.
    ParticipantRenamed {
        /// Who, under their new name.
        participant: Participant,
        /// The name before.
        previous_name: String,
    },
    /// Someone left.
    ParticipantLeft {
        /// Who.
        participant: Participant,
    },
    /// Someone wrote into the chat.
    Chat {
        /// The message.
        message: ChatMessage,
    },
    /// Chat or captions came while nothing may be recorded: what they say stays in the bot.
    Withheld {
        /// How many messages, since the last such report.
        messages: u64,
        /// How many captions.
        captions: u64,
    },
    /// More was written into the chat, or more people came and went, than is reported. The files have it all.
    LeftOut {
        /// How many messages were not reported, since the last such report.
        messages: u64,
        /// How often somebody came or went.
        participant_events: u64,
    },
    /// It is leaving, or has left: files are being closed.
    Leaving {
        /// Why.
        reason: Option<LeaveReason>,
        /// A failure that joining again would not fix: if this bot does not finish, the next one only finalises the files.
        #[serde(default)]
        failure: Option<Failure>,
    },
    /// A command is done.
    CommandDone {
        /// Which.
        command_id: CommandId,
        /// How it went.
        state: ControlState,
    },
    /// The bot's work is over, and its manifest (if there is one) is on disk.
    Ended {
        /// How the job ends.
        ending: Ending,
        /// Where the manifest is: a `file` URL, or [`spool_uri`] if it is on the disk of a worker that uploads it.
        #[serde(default)]
        manifest_uri: Option<String>,
        /// How long the recording is, in ms.
        #[serde(default)]
        duration_ms: u64,
        /// How long it was paused in all, in ms.
        #[serde(default)]
        paused_ms: u64,
        /// The host withdrew the consent to record. The bot has deleted its files; nothing of the job's recording may be kept.
        #[serde(default)]
        consent_revoked: bool,
    },
    /// A report of another version that this one cannot read. It only comes of reading; it cannot be written.
    #[serde(skip)]
    Unreadable {
        /// Its `type`, as far as it has one; of strange length cut.
        kind: String,
    },
}

impl BotReport {
    /// Its `type`, as in `recording_started`.
    pub fn kind(&self) -> String {
        match self {
            Self::Unreadable { kind } => kind.clone(),
            known => serde_json::to_value(known)
                .map_or_else(|_| kind_of(&Value::Null), |json| kind_of(&json)),
        }
    }
}

/// The most characters of a `type` that are kept.
const KIND_CHARACTERS: usize = 64;

fn kind_of(report: &Value) -> String {
    let kind = report.get("type").and_then(Value::as_str).unwrap_or("?");
    kind.chars().take(KIND_CHARACTERS).collect()
}

/// A report with its place in the attempt's sequence.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NumberedReport {
    /// From 1, without holes; the orchestrator applies each once.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub report: BotReport,
}

impl<'de> Deserialize<'de> for NumberedReport {
    /// A report that cannot be read is [`BotReport::Unreadable`], so that the reports sent with it are still applied. An unreadable report of the job's
    /// end is an error, since acknowledging it would leave a job that never ends.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Frame {
            seq: u64,
            #[serde(default)]
            at: Value,
            #[serde(default)]
            report: Value,
        }
        let Frame { seq, at, report } = Frame::deserialize(deserializer)?;
        let kind = kind_of(&report);
        let read = Timestamp::deserialize(at)
            .and_then(|at| BotReport::deserialize(report).map(|report| (at, report)));
        match read {
            Ok((at, report)) => Ok(Self { seq, at, report }),
            Err(error) if kind == "ended" => Err(D::Error::custom(error)),
            Err(_) => {
                let report = BotReport::Unreadable { kind };
                Ok(Self { seq, at: Timestamp::UNIX_EPOCH, report })
            }
        }
    }
}

/// The body of `POST /api/v1/ingest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestRequest {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub epoch: u32,
    /// The reports, oldest first; an empty list is a heartbeat too.
    pub reports: Vec<NumberedReport>,
}

/// The answer to [`IngestRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestAnswer {
    /// The job's status now.
    pub status: JobStatus,
    /// The highest `seq` that is applied; the bot forgets everything up to it.
    pub acknowledged: u64,
}

/// A command to a bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BotCommand {
    /// Its id.
    pub id: CommandId,
    /// Its place among the job's commands, from 1.
    pub seq: u64,
    /// What to do.
    pub action: ControlAction,
    /// The text of a chat message.
    pub message: Option<String>,
}

/// The action of a command whose other fields cannot be read.
const UNREADABLE: &str = "unreadable";

impl<'de> Deserialize<'de> for BotCommand {
    /// A command with an id and a place is read in any case, so that the bot can refuse it; an unreadable action is one that no bot knows.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Frame {
            id: CommandId,
            seq: u64,
            #[serde(default)]
            action: Value,
            #[serde(default)]
            message: Option<Value>,
        }
        let Frame { id, seq, action, message } = Frame::deserialize(deserializer)?;
        let message = message.map(String::deserialize).transpose();
        let (action, message) = match (ControlAction::deserialize(action), message) {
            (Ok(action), Ok(message)) => (action, message),
            _ => (ControlAction::Other(UNREADABLE.into()), None),
        };
        Ok(Self { id, seq, action, message })
    }
}

/// The answer to `GET /api/v1/ingest/commands`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// In the order in which they were given. An entry that is no command is skipped, so that the bot gets the others.
    #[serde(deserialize_with = "commands")]
    pub commands: Vec<BotCommand>,
    /// The server's bots in the room, where they differ from those that the bot knows (`knownBots` in the query).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_bots: Option<OwnBots>,
    /// The stream of the job's meeting, where it is newer than the one that the bot knows (`knownStream` in the query).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zoom_stream: Option<ZoomStream>,
}

/// The bots of this server in one room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnBots {
    /// The ids under which they joined, the asking bot's own among them, and nothing else about them: they may be other consumers'.
    ///
    /// First the bots that are there, in the order in which they give way to each other under `onBotDetected`: those that have the rule off, then those that
    /// have it on, each in the order in which their jobs first came to the room. Last the ids that are no longer used, which the meeting may show for a while.
    pub ids: Vec<String>,
}

impl OwnBots {
    /// A hash of the list, as 16 hexadecimal digits.
    pub fn version(&self) -> String {
        let text = serde_json::to_string(&self.ids).unwrap_or_default();
        let mut version = signature::sha256(text.as_bytes());
        version.truncate(16);
        version
    }
}

fn commands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BotCommand>, D::Error> {
    let commands = Vec::<Value>::deserialize(deserializer)?;
    Ok(commands.into_iter().filter_map(|command| BotCommand::deserialize(command).ok()).collect())
}

#[cfg(test)]
mod wire;
