//! Lines of a recording's files; `docs/recordings.md` describes them, and chat has the model of its events.

use meetbot_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    event::{Fields, Participant},
    or_default,
};

/// A line of `captions.jsonl`: something that was said, in words. Times are in milliseconds from the manifest's `started_at`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caption {
    /// The meeting's id for who said it.
    pub speaker_id: Option<String>,
    /// Their name.
    pub speaker: Option<String>,
    /// From, in ms.
    #[serde(default, deserialize_with = "or_default")]
    pub start_ms: u64,
    /// To, in ms.
    #[serde(default, deserialize_with = "or_default")]
    pub end_ms: u64,
    /// The words.
    pub text: Option<String>,
}

/// A line of `events.jsonl`. Which fields it has follows from its `kind`; the others are `None`. Times are in milliseconds from the manifest's `started_at`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingEvent {
    /// What happened, `type` in the file: `started`, `participant_joined`, `participant_changed`, `participant_left`, `track`, `track_start`, `track_unavailable`,
    /// `gap`, `speaking`, `paused`, `resumed`, `stopped`, `connection_lost`, `datagrams_dropped`, `left`, `handed_over`. The set is open.
    #[serde(rename = "type")]
    pub kind: String,
    /// When; lines of a time from one moment to another have `start_ms` and `end_ms` in its place.
    pub at_ms: Option<u64>,
    /// Which bot, from 1: of `started`, `track`, `datagrams_dropped`, `left` and `handed_over`.
    pub attempt: Option<u64>,
    /// The time 0 of the whole recording: of `started`.
    pub started_at: Option<Timestamp>,
    /// Who: of `participant_joined` and `participant_changed`.
    pub participant: Option<Participant>,
    /// Who: of `participant_left` and `speaking`.
    pub id: Option<String>,
    /// Which media file: of `track`, `track_start` and `gap`.
    pub file: Option<String>,
    /// Who sent it: of `track` and `track_unavailable`.
    pub participant_id: Option<String>,
    /// `audio` or `video`, `kind` in the file: of `track` and `track_unavailable`.
    #[serde(rename = "kind")]
    pub media_kind: Option<String>,
    /// `microphone`, `camera` or `screen`: of `track` and `track_unavailable`.
    pub source: Option<String>,
    /// `opus`, `vp8`, `vp9`, `h264` or `pcm_s16le`, others where it is unavailable: of `track` and `track_unavailable`.
    pub codec: Option<String>,
    /// By how many degrees clockwise its pictures are to be turned: of `track`.
    pub rotation: Option<u64>,
    /// How it is known whose it is, as in the manifest: of `track`.
    pub attributed_by: Option<String>,
    /// From: of `gap` and `speaking`.
    pub start_ms: Option<u64>,
    /// To: of `gap` and `speaking`.
    pub end_ms: Option<u64>,
    /// Why: of `track_unavailable`, `gap` and `left`, as in the manifest.
    pub reason: Option<String>,
    /// Packets that were sent but never came: of `gap`. Datagrams for which the bot's socket had no room: of `datagrams_dropped`.
    pub lost: Option<u64>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A line of `events.jsonl`.
pub(crate) fn recording_event(line: &[u8]) -> serde_json::Result<RecordingEvent> {
    let mut fields = Fields(serde_json::from_slice(line)?);
    let participant = fields.optional_object("participant")?;
    Ok(RecordingEvent {
        kind: fields.take("type")?,
        at_ms: fields.take("atMs")?,
        attempt: fields.take("attempt")?,
        started_at: fields.take("startedAt")?,
        participant,
        id: fields.take("id")?,
        file: fields.take("file")?,
        participant_id: fields.take("participantId")?,
        media_kind: fields.take("kind")?,
        source: fields.take("source")?,
        codec: fields.take("codec")?,
        rotation: fields.take("rotation")?,
        attributed_by: fields.take("attributedBy")?,
        start_ms: fields.take("startMs")?,
        end_ms: fields.take("endMs")?,
        reason: fields.take("reason")?,
        lost: fields.take("lost")?,
        extra: fields.rest()?,
    })
}
