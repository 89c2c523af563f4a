//! A job: what was asked, where it stands, and what may happen to it next.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AutoLeave, AutoLeaveConfig, FailureCode, JobId, Metadata, Platform, Timestamp};

words! {
    /// Where a job stands.
    ///
    /// Closed in the server: a new status would be a new version of the API. An SDK still passes a word that it does
    /// not know through, and takes it as not final.
    pub enum JobStatus {
        /// Waiting for its time or for a free worker.
        Queued = "queued",
        /// A bot is on its way in, or waits in the lobby.
        Joining = "joining",
        /// The bot is in the call: the roster holds it and the media path is up.
        InCall = "in_call",
        /// The first packet is on disk.
        Recording = "recording",
        /// The bot has left or is leaving; its files are being closed.
        Finalizing = "finalizing",
        /// Recorded, and the manifest is written.
        Completed = "completed",
        /// Ended without what was asked for; `failureCode` says why.
        Failed = "failed",
        /// Called off.
        Cancelled = "cancelled",
    }
}

/// Something that happens to a job and may change its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// A worker took the job.
    Claim,
    /// The bot is in the call.
    Admit,
    /// The first packet is on disk.
    Record,
    /// Recording was stopped for good; the bot stays.
    StopRecording,
    /// The bot leaves, or a command asked it to; its files are being closed.
    Leave,
    /// The bot's lease ran out: it is taken for dead.
    Lose,
    /// The manifest is written and all is well.
    Complete,
    /// The job cannot go on.
    Fail,
    /// The job is called off.
    Cancel,
}

/// The event does not fit the status: a bug, or a report that came late.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {status} cannot take {event:?}")]
pub struct IllegalEvent {
    /// What the job was.
    pub status: JobStatus,
    /// What was said to have happened.
    pub event: JobEvent,
}

impl JobStatus {
    /// The status after `event`.
    ///
    /// This match is the only definition of a job's life: `docs/job-lifecycle.md` and
    /// `spec/vectors/job_transitions.json` are made from it.
    #[expect(clippy::match_same_arms, reason = "one line for each edge of the diagram")]
    pub fn after(&self, event: JobEvent) -> Result<Self, IllegalEvent> {
        use JobEvent::{Admit, Cancel, Claim, Complete, Fail, Leave, Lose, Record, StopRecording};
        use JobStatus::{
            Cancelled, Completed, Failed, Finalizing, InCall, Joining, Queued, Recording,
        };
        match (self, event) {
            (Queued, Claim) => Ok(Joining),
            (Joining, Admit) => Ok(InCall),
            (InCall, Record) => Ok(Recording),
            (Recording, StopRecording) => Ok(InCall),
            (Joining | InCall | Recording, Leave) => Ok(Finalizing),
            (Joining | InCall | Recording | Finalizing, Lose) => Ok(Queued),
            (Finalizing, Complete) => Ok(Completed),
            (Queued | Joining | InCall | Recording | Finalizing, Fail) => Ok(Failed),
            (Queued | Finalizing, Cancel) => Ok(Cancelled),
            (status, event) => Err(IllegalEvent { status: status.clone(), event }),
        }
    }

    /// Nothing can happen to the job any more.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl JobEvent {
    /// Every event.
    pub const ALL: [Self; 9] = [
        Self::Claim,
        Self::Admit,
        Self::Record,
        Self::StopRecording,
        Self::Leave,
        Self::Lose,
        Self::Complete,
        Self::Fail,
        Self::Cancel,
    ];
}

words! {
    /// Why the bot left the meeting.
    pub enum LeaveReason {
        /// The meeting was over.
        MeetingEnded = "meeting_ended",
        /// Someone took the bot out.
        Removed = "removed",
        /// Nobody spoke for `afterSilenceSeconds`.
        Silence = "silence",
        /// No other human was there for `afterSoloSeconds`.
        Solo = "solo",
        /// `afterMaxSeconds` were over.
        MaxDuration = "max_duration",
        /// Another notetaker bot was there.
        BotDetected = "bot_detected",
        /// A command asked it to leave the call.
        Requested = "requested",
        /// The job was cancelled.
        Cancelled = "cancelled",
        /// It was never let in.
        NotAdmitted = "not_admitted",
    }
}

words! {
    /// Whether the bot records.
    pub enum RecordingState {
        /// Not yet.
        Off = "off",
        /// Waiting for the host's permission.
        AwaitingPermission = "awaiting_permission",
        /// Recording.
        On = "on",
        /// Paused: nothing of this time is in any file.
        Paused = "paused",
        /// Stopped, for good.
        Stopped = "stopped",
    }
}

words! {
    /// Whether the meeting allows the recording.
    pub enum Permission {
        /// The platform does not ask for one.
        NotRequired = "not_required",
        /// Asked for, not answered.
        Pending = "pending",
        /// The host agreed.
        Granted = "granted",
        /// The host refused.
        Denied = "denied",
    }
}

/// The recording of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Whether the bot records.
    pub state: RecordingState,
    /// Whether the meeting allows it.
    pub permission: Permission,
    /// When the first packet was on disk.
    pub started_at: Option<Timestamp>,
    /// How long it was paused so far, in milliseconds.
    pub paused_ms: u64,
    /// How many bytes all files of the recording have on the server's disk, the manifest included. `null` until the job has ended, and while they are still to
    /// be counted; 0 where nothing was recorded, or all of it is deleted. Changes once more when the mix is made, which `updatedAt` does not show.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// When the recording was deleted.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            state: RecordingState::Off,
            permission: Permission::NotRequired,
            started_at: None,
            paused_ms: 0,
            bytes: None,
            deleted_at: None,
        }
    }
}

/// Where webhooks of a job go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Webhooks {
    /// Gets every event but `job.finalized` and `job.artifact_ready`.
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub on_status_change: Option<String>,
    /// Gets `job.finalized`, `job.failed` and `job.artifact_ready`.
    #[cfg_attr(feature = "openapi", schema(format = "uri"))]
    pub on_finalize: Option<String>,
}

/// A bot asked for a meeting, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The caller's own id for it, if one was given.
    pub external_id: Option<String>,
    /// The meeting's URL as it was given.
    pub meeting_url: String,
    /// The meeting's product.
    pub platform: Platform,
    /// The name the bot shows in the meeting.
    pub display_name: String,
    /// Where it stands.
    pub status: JobStatus,
    /// A hint about what the status is busy with: `scheduled`, `waiting_room`, `reconnecting`… The set is open.
    pub status_detail: Option<String>,
    /// The recording.
    pub recording: Recording,
    /// When the bot is to join; `null` means at once.
    pub join_at: Option<Timestamp>,
    /// Where its webhooks go.
    pub webhooks: Webhooks,
    /// The caller's own data, given back as it was sent.
    pub metadata: Metadata,
    /// When the bot leaves by itself.
    pub auto_leave: AutoLeave,
    /// Whether cameras are recorded; `null` where the server's settings say it.
    #[serde(default)]
    pub record_video: Option<bool>,
    /// The operator's account as which the bot joins; `null` where it joins as a guest.
    #[serde(default)]
    pub account: Option<String>,
    /// Which bot this is: 1 for the first, one more each time a lost bot is replaced; 0 before the first.
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
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the first bot was in the call.
    pub joined_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Fields that this version does not know (filled by the SDK, never sent).
    #[serde(skip)]
    pub extra: Map<String, Value>,
}

/// A bot to dispatch: the body of `POST /api/v1/jobs`. For what is missing or `null` the server fills in its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NewJob {
    /// The meeting's URL (at most 2,048 characters).
    #[cfg_attr(feature = "openapi", schema(format = "meeting-url"))]
    pub meeting_url: String,
    /// Your own id (1 to 255 characters); sent twice, the second call gives the job of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(
            max_length = 255,
            pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
        )
    )]
    pub external_id: Option<String>,
    /// The meeting's product, where the URL does not tell (a self-hosted server).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The name the bot shows in the meeting (1 to 100 characters, at least one of them visible; the server's default is `meetbot`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(
            format = "visible-text",
            max_length = 100,
            pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$"
        )
    )]
    pub display_name: Option<String>,
    /// When to join; the past or nothing means now, at most a year ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_at: Option<Timestamp>,
    /// Where webhooks go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Webhooks>,
    /// Your own data: a JSON object of at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// When the bot leaves by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_leave: Option<AutoLeaveConfig>,
    /// Whether to record cameras, where the meeting shows them; shared screens are recorded in any case. The default is the server's setting for the platform, and true where it has none.
    /// A bot with a browser records neither cameras nor screens unless this is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_video: Option<bool>,
    /// The account as which the bot joins: a name that the operator of the server has set up. Without it the bot joins as a guest. Only Google Meet takes one, and only with a live key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 40, pattern = "^[a-z0-9][a-z0-9_-]*$"))]
    pub account: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fmt::Write as _};

    use serde_json::json;

    use super::*;
    use xtask::spec_file;

    fn edges() -> impl Iterator<Item = (&'static JobStatus, JobEvent, JobStatus)> {
        JobStatus::ALL.iter().flat_map(|from| {
            JobEvent::ALL
                .into_iter()
                .filter_map(move |event| from.after(event).ok().map(|to| (from, event, to)))
        })
    }

    #[test]
    fn final_statuses_have_no_transitions() {
        assert!(edges().all(|(from, _, _)| !from.is_final()));
        assert!(JobStatus::from("some_new_word").after(JobEvent::Fail).is_err());
    }

    #[test]
    fn every_status_is_reachable_and_can_end() {
        let mut reached = HashSet::from([JobStatus::Queued]);
        while let Some((_, _, to)) =
            edges().find(|(from, _, to)| reached.contains(from) && !reached.contains(to))
        {
            reached.insert(to);
        }
        assert_eq!(reached.len(), JobStatus::ALL.len());
        assert!(
            JobStatus::ALL
                .iter()
                .all(|status| status.is_final() || status.after(JobEvent::Fail).is_ok())
        );
    }

    #[test]
    fn the_diagram_is_up_to_date() {
        let mut page = String::from(
            "# The life of a job\n\n<!-- Made from crates/types/src/job.rs by its tests; `cargo xtask update` rewrites it. -->\n\n```mermaid\nstateDiagram-v2\n    [*] --> queued\n",
        );
        for (from, event, to) in edges() {
            writeln!(page, "    {from} --> {to}: {event:?}").unwrap();
        }
        for status in JobStatus::ALL.iter().filter(|status| status.is_final()) {
            writeln!(page, "    {status} --> [*]").unwrap();
        }
        page.push_str("```\n\n`Lose` means that a bot's lease expired: its job goes back to `queued` (`statusDetail` `reconnecting`), and the next attempt continues the same recording.\n\n\
             Each status that is not final has a limit:\n\n\
             | status | limit |\n| --- | --- |\n\
             | `queued` | before the first bot: `dispatch_timeout` after `bots.start_within_seconds` (600) from the job's due time, or `quota_exceeded` at that time if the month's minutes are used up. After a lost bot: the next bot starts as soon as there is a free slot; the third and later ones also wait until 5 s, 10 s, … at most 10 min have passed since the start of the previous one |\n\
             | `joining` | `autoLeave.afterEntryDelaySeconds`, at most a week; a meeting that cannot be reached: `network_loss` after 60 s |\n\
             | `in_call`, `recording` | the rules of `autoLeave`; at most a week, also with every rule disabled |\n\
             | `finalizing` | the files are closed and the manifest is written; the mix is made after the end. With `statusDetail` `uploading` the bot has left, and the recording is being uploaded to the [bucket](object-storage.md); if its machine is lost meanwhile, the job goes back to `queued`, and [another worker](deploy.md#workers-on-other-machines) finishes the recording |\n\
             | any with a bot | a bot without a heartbeat for 30 s is lost; after five lost bots the job fails, once a sixth has finalised what was recorded; where that cannot be done it is tried for about a day (150 bots) |\n");
        spec_file::check("docs/job-lifecycle.md", &page);
    }

    #[test]
    fn the_transition_vectors_are_up_to_date() {
        let transitions: Vec<Value> = JobStatus::ALL
            .iter()
            .flat_map(|from| {
                JobEvent::ALL.map(|event| {
                    json!({"from": from, "event": format!("{event:?}"), "to": from.after(event).ok()})
                })
            })
            .collect();
        let statuses: Vec<Value> = JobStatus::ALL
            .iter()
            .map(|status| json!({"status": status, "final": status.is_final()}))
            .collect();
        spec_file::check_json(
            "spec/vectors/job_transitions.json",
            &json!({"kind": "job_transitions", "statuses": statuses, "transitions": transitions}),
        );
    }
}
