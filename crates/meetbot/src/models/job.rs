//! A job, and what became of something that its bot was asked.

use std::{collections::HashMap, fmt};

use meetbot_types::{
    ControlAction, ControlState, FailureCode, JobStatus, LeaveReason, Metadata, Permission,
    Platform, RecordingState, Timestamp, Webhooks,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{Object, id, object, or_default};

/// A bot asked for a meeting, and what became of it: a snapshot of the moment of the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id, `job_…`.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// Your own id for it, if you gave one.
    pub external_id: Option<String>,
    /// The meeting's URL as it was given.
    pub meeting_url: Option<String>,
    /// The meeting's product.
    pub platform: Option<Platform>,
    /// The name the bot shows in the meeting.
    pub display_name: Option<String>,
    /// Where it stands. A word that this version does not know is not final.
    pub status: JobStatus,
    /// A hint about what the status is busy with: `scheduled`, `waiting_room`, `reconnecting`… The set is open.
    pub status_detail: Option<String>,
    /// The recording.
    #[serde(default, deserialize_with = "object")]
    pub recording: Recording,
    /// When the bot is to join; `None` means at once.
    pub join_at: Option<Timestamp>,
    /// Where its webhooks go.
    #[serde(default, deserialize_with = "object")]
    pub webhooks: Webhooks,
    /// Your own data, given back as it was sent.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
    /// When the bot leaves by itself.
    #[serde(default, deserialize_with = "object")]
    pub auto_leave: AutoLeave,
    /// Whether cameras are recorded; `None` where the server's settings say it.
    pub record_video: Option<bool>,
    /// The operator's account as which the bot joins; `None` where it joins as a guest.
    pub account: Option<String>,
    /// Which bot this is: 1 for the first, one more each time a lost bot is replaced; 0 before the first.
    #[serde(default, deserialize_with = "or_default")]
    pub attempt: u32,
    /// Why the bot left.
    pub leave_reason: Option<LeaveReason>,
    /// Why the job failed.
    pub failure_code: Option<FailureCode>,
    /// The failure in a sentence.
    pub failure_detail: Option<String>,
    /// Where the manifest is: `file://…` or `s3://…`. Set as soon as there is one, whatever the final status.
    pub manifest_uri: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// When the first bot was in the call.
    pub joined_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Fields that this version does not know, of jobs that calls answer with.
    #[serde(skip)]
    pub extra: Map<String, Value>,
}

/// A short line: `job_… completed (meeting_ended)`.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.status)?;
        let failure = self.failure_code.as_ref().map(FailureCode::as_str);
        let reason = self.leave_reason.as_ref().map(LeaveReason::as_str);
        match failure.or(reason).or(self.status_detail.as_deref()) {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// The fields of a job that this version knows.
const JOB_FIELDS: [&str; 23] = [
    "id",
    "externalId",
    "meetingUrl",
    "platform",
    "displayName",
    "status",
    "statusDetail",
    "recording",
    "joinAt",
    "webhooks",
    "metadata",
    "autoLeave",
    "recordVideo",
    "account",
    "attempt",
    "leaveReason",
    "failureCode",
    "failureDetail",
    "manifestUri",
    "createdAt",
    "updatedAt",
    "joinedAt",
    "endedAt",
];

/// A job, with the fields that this version does not know in `extra`.
pub(crate) fn job(body: &[u8]) -> serde_json::Result<Job> {
    let Object(mut job) = serde_json::from_slice::<Object<Job>>(body)?;
    let fields: HashMap<String, &RawValue> = serde_json::from_slice(body)?;
    for (name, value) in fields {
        if !JOB_FIELDS.contains(&name.as_str()) {
            job.extra.insert(name, serde_json::from_str(value.get())?);
        }
    }
    Ok(job)
}

/// The recording of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Whether the bot records.
    pub state: Option<RecordingState>,
    /// Whether the meeting allows it.
    pub permission: Option<Permission>,
    /// When the first packet was on disk.
    pub started_at: Option<Timestamp>,
    /// How long it was paused so far, in milliseconds.
    #[serde(default, deserialize_with = "or_default")]
    pub paused_ms: u64,
    /// How many bytes all files of the recording have on the server's disk, the manifest included; `None` until the job has ended, while they are still to be
    /// counted, and from a server that does not count them; 0 where nothing was recorded, or all of it is deleted.
    pub bytes: Option<u64>,
    /// When the recording was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// When a bot leaves by itself: what was set, and the server's defaults for the rest. `None`: the rule is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoLeave {
    /// Give up when not admitted this long after knocking.
    pub after_entry_delay_seconds: Option<u32>,
    /// Leave when nobody has spoken for this long.
    pub after_silence_seconds: Option<u32>,
    /// Leave when no other human has been there for this long.
    pub after_solo_seconds: Option<u32>,
    /// Leave after this long in the call.
    pub after_max_seconds: Option<u32>,
    /// Leave when another notetaker bot is in the meeting; of several bots of one server the first stays.
    #[serde(default, deserialize_with = "or_default")]
    pub on_bot_detected: bool,
}

/// The answer to a control call (`RequestRecordingPermissionResult` in other SDKs).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlResult {
    /// The job's id.
    #[serde(deserialize_with = "id")]
    pub job_id: String,
    /// The command's id.
    pub command_id: Option<String>,
    /// What was asked.
    pub action: Option<ControlAction>,
    /// How far it has come: `done`, `denied`, or `pending` when the bot had not answered within 5 s.
    pub state: ControlState,
    /// The job's status now.
    pub status: Option<JobStatus>,
    /// The job's recording now.
    #[serde(default, deserialize_with = "object")]
    pub recording: Recording,
    /// When it was asked.
    pub requested_at: Option<Timestamp>,
    /// When its state last changed.
    pub updated_at: Option<Timestamp>,
}
