//! The manifest: what was recorded, by whom, when, and in which files.

use serde::{Deserialize, Serialize};

use crate::{FailureCode, JobId, LeaveReason, Platform, Timestamp, bot::MediaKind};

/// The version of the manifest's form.
pub const SCHEMA_VERSION: u32 = 1;

/// `manifest.json`, written last, and once more when the mix is made or given up. All times named `…Ms` are milliseconds from `startedAt`, on one clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version of this form: 1.
    pub schema_version: u32,
    /// The job.
    pub job_id: JobId,
    /// The caller's own id for it.
    pub external_id: Option<String>,
    /// The meeting's URL as it was given.
    pub meeting_url: String,
    /// The meeting's product.
    pub platform: Platform,
    /// The name the bot showed.
    pub display_name: String,
    /// Whether the recording goes from the bot's first admission to the end of its work without a break.
    pub complete: bool,
    /// When the first bot was in the call.
    pub started_at: Timestamp,
    /// When the last bot left it.
    pub ended_at: Timestamp,
    /// `endedAt` less `startedAt`.
    pub duration_ms: u64,
    /// Why the bot left.
    pub leave_reason: Option<LeaveReason>,
    /// Why the job failed, where it did.
    pub failure_code: Option<FailureCode>,
    /// Everyone who was in the meeting, the bot itself left out.
    pub participants: Vec<ManifestParticipant>,
    /// Who spoke when, by audio level, by start; the spans of one participant neither overlap nor touch. At most 20,000: beyond that, spans with the shortest
    /// pauses between them are joined, and `events.jsonl` has each. Empty in manifests of servers that did not write it.
    #[serde(default)]
    pub speaking: Vec<SpeakingSpan>,
    /// The media.
    pub tracks: Vec<Track>,
    /// What people sent that could not be recorded. Empty in manifests of servers that did not write it.
    #[serde(default)]
    pub unavailable: Vec<UnavailableTrack>,
    /// Every file beside the manifest.
    pub files: Vec<File>,
    /// All speakers in one file.
    #[serde(default)]
    pub mixed: Mixed,
    /// The file with the captions, if there were any.
    pub captions: Option<String>,
    /// The file with the chat, if anything was written.
    pub chat: Option<String>,
    /// When the recording was paused.
    pub pauses: Vec<Span>,
    /// The bots that worked on it, one after the other.
    pub attempts: Vec<Attempt>,
}

/// The mix of all audio tracks, made after the job has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Mixed {
    /// Whether it is still to be made; `null` in manifests of servers that made it before they wrote the manifest.
    #[serde(default)]
    pub state: Option<MixState>,
    /// The file; `null` when there is none (yet).
    pub file: Option<String>,
    /// Why there is none, in a sentence; `null` while it is still to be made.
    pub missing_because: Option<String>,
}

words! {
    /// How far the mix is.
    pub enum MixState {
        /// It is still to be made: the manifest is replaced when it is there, or when there will be none.
        Pending = "pending",
        /// It is there, and one of the manifest's files.
        Made = "made",
        /// There is none, and there will be none.
        Unavailable = "unavailable",
    }
}

impl Mixed {
    /// Whether it is still to be made.
    pub fn is_pending(&self) -> bool {
        self.state == Some(MixState::Pending)
    }
}

/// Someone who was in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ManifestParticipant {
    /// The meeting's id for them.
    pub id: String,
    /// Their name, as it was last.
    pub name: String,
    /// Whether it is another bot.
    pub is_bot: bool,
    /// Whether they are a host.
    pub is_host: bool,
    /// When they came, in ms; 0 when they were there before the bot.
    pub joined_at: u64,
    /// When they left, in ms; `null` when they were there to the end.
    pub left_at: Option<u64>,
    /// How long they spoke, in ms, by audio level.
    pub speaking_ms: u64,
    /// Every name they had.
    pub names: Vec<String>,
}

/// A time in which somebody spoke; pauses of less than half a second are part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SpeakingSpan {
    /// Who, by their `id` among the participants.
    pub participant_id: String,
    /// From, in ms.
    pub start_ms: u64,
    /// To, in ms.
    pub end_ms: u64,
}

/// One media file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// The file's name.
    pub file: String,
    /// Whose it is.
    pub participant_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// `microphone`, `camera` or `screen`.
    pub source: String,
    /// `opus`, `vp8`, `vp9`, `h264` or `pcm_s16le`.
    pub codec: String,
    /// `webm`; `matroska` for H.264 and samples, which WebM does not know.
    pub container: String,
    /// By how many degrees clockwise the pictures are to be turned for showing: 0, 90, 180 or 270. The file says so too, so players and ffmpeg turn them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(maximum = 270, multiple_of = 90))]
    pub rotation: u16,
    /// How it is known whose it is: `stream` (the meeting sends each participant's media separately), `source` (the packets name a source, and the meeting its
    /// owner), `unnamed` (they name a source whose owner was not known when the file began), `mix` (several participants at once, in one file) or `played` (a page
    /// played it, named its source, and encoded it again). All frames of a track are attributed in the same way. The set is open.
    /// `null` in manifests of servers that did not write it.
    #[serde(default)]
    pub attributed_by: Option<String>,
    /// When the file's time 0 is, in ms.
    pub start_ms: u64,
    /// How long the file plays, in ms.
    pub duration_ms: u64,
    /// Opus packets, or pictures, as they were received; silence that fills gaps is not counted.
    pub packets: u64,
    /// Packets that were sent but never came.
    pub lost_packets: u64,
    /// The file's size.
    pub bytes: u64,
    /// The file's SHA-256, in hex.
    pub sha256: String,
    /// Where nothing was received.
    pub gaps: Vec<Gap>,
}

/// A camera, a shared screen or a voice that was sent and is in no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnavailableTrack {
    /// Who sent it, by their `id` among the participants.
    pub participant_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// `microphone`, `camera` or `screen`.
    pub source: String,
    /// How it was encoded, as in `av1`.
    pub codec: String,
    /// When the first of it came, in ms.
    pub start_ms: u64,
    /// Why it is in no file, in a sentence.
    pub missing_because: String,
}

/// A time without media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// From, in ms.
    pub start_ms: u64,
    /// To, in ms.
    pub end_ms: u64,
    /// `packet_loss`, `muted`, `paused`, `absent` (they had left) or `network_loss` (the bot was cut off). The set is open.
    pub reason: String,
}

/// From when to when, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// From, in ms.
    pub start_ms: u64,
    /// To, in ms.
    pub end_ms: u64,
}

/// One bot's time on the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u32,
    /// When it was in the call, in ms; `null` when it never was.
    pub joined_ms: Option<u64>,
    /// When it left or was last known to record, in ms.
    pub ended_ms: Option<u64>,
    /// How it ended: `left`, `handed_over` (a server that was stopped gave the job to the next one's bot), `lost` (the process died), or `never_joined`.
    pub outcome: String,
    /// How long nothing was recorded between the attempt before and this one, in ms.
    pub gap_ms: Option<u64>,
    /// How many datagrams reached the machine in its time and were dropped, because the bot's socket was full: the bot read too late. Most of them are among the tracks' `lostPackets`. 0 in manifests of servers that did not write it.
    #[serde(default)]
    pub dropped_datagrams: u64,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its name, flat.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}
