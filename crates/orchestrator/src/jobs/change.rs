//! A change of a job: its new state, and everything that is written with it. Pure; the store writes it in one transaction.

use std::time::Duration;

use meetbot_types::{
    Cause, Ending, EventName, Job, JobStatus, Platform, Recording, RecordingState, Timestamp,
    availability::via_of,
    event::{EventData, EventDetails},
    job::JobEvent,
};

use super::{
    JobEnd,
    command::{self, CommandChange},
    quota::{self, SlotChange},
    record::JobRecord,
    upload::Upload,
    withheld::Withheld,
};

/// The consequences of a change of a job.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Whether the record itself has changed.
    pub record: bool,
    /// Lines of the timeline, in their order; a webhook for each URL of [`EmittedEvent::urls`].
    pub events: Vec<EmittedEvent>,
    /// A change that no event reports and a list of jobs shows: an event of the consumer's feed only, after the others.
    pub unreported: Option<EmittedEvent>,
    /// Changes of the job's commands, in this order.
    pub commands: Vec<CommandChange>,
    /// Changes of the bot's room, in this order.
    pub rooms: Vec<RoomChange>,
    /// The change of its consumer's counts of bots and waiting jobs.
    pub slot: SlotChange,
    /// The change of its mix.
    pub mix: Option<MixChange>,
    /// The change of its recording's upload to the bucket.
    pub upload: Option<UploadChange>,
    /// Its end, with the minutes that it costs: once for each job.
    pub end: Option<JobEnd>,
}

/// An event of a job: a line of the timeline, and for most a webhook.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmittedEvent {
    /// Its number in the job's timeline; an entry of the feed alone has the number of the event before it.
    pub sequence: u64,
    /// Its name.
    pub event: EventName,
    /// Its data.
    pub details: EventDetails,
    /// The job's status after it.
    pub status: JobStatus,
    /// When.
    pub at: Timestamp,
}

impl EmittedEvent {
    /// The creation of a job, which only its consumer's feed has.
    pub(crate) fn created(job: &Job) -> Self {
        Self::unreported(job, None, 0, job.created_at)
    }

    /// A job as it is now, for its consumer's feed alone.
    fn unreported(job: &Job, previous: Option<JobStatus>, sequence: u64, at: Timestamp) -> Self {
        let details = EventDetails::StatusChanged {
            previous_status: previous,
            status_detail: job.status_detail.clone(),
            leave_reason: job.leave_reason.clone(),
            via: None,
        };
        Self { sequence, event: EventName::StatusChanged, details, status: job.status.clone(), at }
    }

    /// Its data, as they are stored and sent.
    pub(crate) fn data(&self, job: &Job) -> EventData {
        EventData {
            event: self.event.clone(),
            sequence: self.sequence,
            job_id: job.id,
            external_id: job.external_id.clone(),
            status: self.status.clone(),
            metadata: job.metadata.clone(),
            details: self.details.clone(),
        }
    }

    /// The URLs of the job that get it: `onFinalize` the end and what is made after it, `onStatusChange` all else and a failure; one URL once. What was
    /// withheld or left out stands in the timeline only.
    pub(crate) fn urls<'a>(&self, job: &'a Job) -> impl Iterator<Item = &'a str> + use<'a> {
        let after = matches!(self.event, EventName::Finalized | EventName::ArtifactReady);
        let finalize = after || self.event == EventName::Failed;
        let counted = matches!(self.event, EventName::ChatWithheld | EventName::EventsLeftOut);
        let status = !after && !counted;
        let on_finalize = job.webhooks.on_finalize.as_deref().filter(|_| finalize);
        let on_status = job.webhooks.on_status_change.as_deref().filter(|_| status);
        on_finalize.into_iter().chain(on_status.filter(|url| Some(*url) != on_finalize))
    }
}

/// How long a bot's id in a room is kept after it has gone: servers of meetings show a participant that dropped out for minutes at most.
pub(crate) const KEEP_ROOM_ID: Duration = Duration::from_hours(1);
/// The most ids of bots in one room that are listed; those that are in the room come first.
pub(crate) const ROOM_IDS: u32 = 1000;

/// A bot enters or leaves a meeting's room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RoomChange {
    /// It joins under this id; the one before, if any, is no longer used.
    Joins { platform: Platform, room: String, participant_id: String },
    /// The job has no bot in a room any more.
    Leaves,
}

/// A change of a job's mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MixChange {
    /// It is queued.
    Waits,
    /// It is not to be made any more.
    Dropped,
}

/// A change of a recording's upload to the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UploadChange {
    /// It is queued.
    Waits(Upload),
    /// It is uploaded, or is not to be uploaded any more.
    Ended,
}

/// A job during a change.
pub(super) struct Change<'a> {
    pub(super) record: &'a mut JobRecord,
    pub(super) at: Timestamp,
    pub(super) changes: Changes,
}

impl JobRecord {
    /// Changes it, and collects the consequences. Those of its end or of a new slot state are determined here, for all kinds of changes.
    pub(super) fn change(&mut self, at: Timestamp, act: impl FnOnce(&mut Change<'_>)) -> Changes {
        let (slot, was_final) = (self.slot(), self.job.status.is_final());
        let shown = |job: &Job| {
            let Recording { state, deleted_at, .. } = &job.recording;
            (job.status_detail.clone(), state.clone(), *deleted_at)
        };
        let before = shown(&self.job);
        let mut change =
            Change { record: self, at, changes: Changes { record: true, ..Changes::default() } };
        act(&mut change);
        let mut changes = change.changes;
        if self.job.status.is_final() && !was_final {
            self.lease_until = None;
            changes.rooms.push(RoomChange::Leaves);
            changes.commands.push(CommandChange::Settled(command::ON_JOB_END));
            let minutes = quota::cost(&self.job, self.tenant.live, self.metered);
            changes.mix = self.job.manifest_uri.is_some().then_some(MixChange::Waits);
            changes.end = Some(JobEnd::of(&self.job, minutes));
        }
        changes.slot = SlotChange::between(slot, self.slot());
        let is_reported = changes.events.iter().rev().find_map(|emitted| match &emitted.details {
            EventDetails::StatusChanged { status_detail, .. } => {
                Some(*status_detail == self.job.status_detail)
            }
            EventDetails::Failed { .. } => Some(true),
            _ => None,
        });
        if shown(&self.job) != before && is_reported != Some(true) {
            let status = Some(self.job.status.clone());
            changes.unreported =
                Some(EmittedEvent::unreported(&self.job, status, self.sequence, at));
        }
        changes
    }
}

impl Change<'_> {
    pub(super) fn emit(&mut self, event: EventName, details: EventDetails) {
        self.record.sequence += 1;
        let (sequence, status) = (self.record.sequence, self.record.job.status.clone());
        self.changes.events.push(EmittedEvent { sequence, event, details, status, at: self.at });
    }

    /// Makes the transition if the table of states has it; a late or repeated report is not an error.
    pub(super) fn step(&mut self, event: JobEvent, detail: Option<&str>) {
        self.touch();
        let job = &mut self.record.job;
        let Ok(status) = job.status.after(event) else { return };
        job.status_detail = detail.map(str::to_owned);
        let previous = std::mem::replace(&mut job.status, status);
        // `job.failed` goes to both endpoints and is enough.
        if job.status != JobStatus::Failed {
            let details = EventDetails::StatusChanged {
                previous_status: Some(previous),
                status_detail: job.status_detail.clone(),
                leave_reason: job.leave_reason.clone(),
                via: (event == JobEvent::Admit)
                    .then(|| via_of(&job.platform, self.record.tenant.live))
                    .flatten(),
            };
            self.emit(EventName::StatusChanged, details);
        }
    }

    pub(super) fn touch(&mut self) {
        self.record.job.updated_at = self.at;
    }

    pub(super) fn detail(&mut self, detail: Option<&str>) {
        self.record.job.status_detail = detail.map(str::to_owned);
    }

    /// Withheld content is reported once the pause is over, and before the job's end.
    pub(super) fn emit_withheld(&mut self) {
        if let Some(Withheld { messages, captions }) = self.record.withheld.take() {
            self.emit(EventName::ChatWithheld, EventDetails::ChatWithheld { messages, captions });
        }
    }

    /// The job ends without a bot: nothing was recorded.
    pub(super) fn end_without_bot(&mut self, cause: Cause) {
        self.end(&cause.ending(false, false), None, 0);
    }

    /// The job leaves the queue for good: at once where nothing was recorded. Else its bot was lost, and the next one only finalises what is on disk.
    pub(super) fn leave_the_queue(&mut self, cause: Cause) {
        if self.record.has_media() {
            self.record.run_at = self.at;
        } else {
            self.end_without_bot(cause);
        }
    }

    pub(super) fn end(&mut self, ending: &Ending, manifest_uri: Option<&str>, duration_ms: u64) {
        if self.record.job.status.is_final() {
            return;
        }
        self.emit_withheld();
        self.record.job.leave_reason.clone_from(&ending.leave_reason);
        let failed = ending.status == JobStatus::Failed;
        if !failed {
            self.step(JobEvent::Leave, None);
        }
        let job = &mut self.record.job;
        job.manifest_uri = manifest_uri.map(str::to_owned);
        job.ended_at = Some(self.at);
        // Without a bot there are no files; those of one without a final report are to be counted.
        job.recording.bytes = (job.attempt == 0).then_some(0);
        if job.recording.state != RecordingState::Off {
            job.recording.state = RecordingState::Stopped;
        }
        if let Some(failure) = ending.failure.as_ref().filter(|_| failed) {
            job.failure_code = Some(failure.code.clone());
            job.failure_detail = Some(failure.detail.clone());
        }
        match ending.status {
            JobStatus::Completed => {
                self.step(JobEvent::Complete, None);
                let job = &self.record.job;
                let details = EventDetails::Finalized {
                    manifest_uri: job.manifest_uri.clone(),
                    leave_reason: job.leave_reason.clone(),
                    duration_ms,
                };
                self.emit(EventName::Finalized, details);
            }
            JobStatus::Cancelled => self.step(JobEvent::Cancel, None),
            _ => {
                self.step(JobEvent::Fail, None);
                let job = &self.record.job;
                let details = EventDetails::Failed {
                    failure_code: job.failure_code.clone(),
                    failure_detail: job.failure_detail.clone(),
                    failure_reason: job.failure_detail.clone(),
                    manifest_uri: job.manifest_uri.clone(),
                };
                self.emit(EventName::Failed, details);
            }
        }
    }
}
