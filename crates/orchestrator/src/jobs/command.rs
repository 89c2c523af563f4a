//! What a job's bot is asked to do.

use meetbot_types::{
    Cause, CommandId, ControlAction, ControlResult, ControlState, Job, JobId, JobStatus,
    RecordingState, Timestamp,
};

use super::{
    change::{Change, Changes, CommandChange, Settlement},
    record::JobRecord,
};
use crate::clock::StoreNow;

/// A command and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// The job.
    pub job_id: JobId,
    /// What to do.
    pub action: ControlAction,
    /// How far it has come.
    pub state: ControlState,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

impl Command {
    /// A new one, which nobody has answered.
    pub(super) fn new(job: JobId, action: ControlAction, now: Timestamp) -> Self {
        Self {
            id: CommandId::generate(now),
            job_id: job,
            action,
            state: ControlState::Pending,
            requested_at: now,
            updated_at: now,
        }
    }

    /// What a control call answers.
    pub(crate) fn result(&self, job: &Job) -> ControlResult {
        ControlResult {
            job_id: job.id,
            command_id: self.id,
            action: self.action.clone(),
            state: self.state.clone(),
            status: job.status.clone(),
            recording: job.recording.clone(),
            requested_at: self.requested_at,
            updated_at: self.updated_at,
        }
    }
}

impl JobRecord {
    /// Asks its bot to do something. `None` where the job cannot take it in its state. A job in the queue has no bot: leaving it is done at once.
    pub(crate) fn command(
        &mut self,
        action: &ControlAction,
        message: Option<String>,
        now: StoreNow,
    ) -> Option<(Command, Changes)> {
        if !takes(&self.job, action) {
            return None;
        }
        let mut command = Command::new(self.job.id, action.clone(), now.wall);
        let leaves = *action == ControlAction::LeaveCall;
        let in_queue = leaves && self.job.status == JobStatus::Queued;
        if leaves {
            self.cause.get_or_insert(Cause::Requested);
        }
        if in_queue {
            command.state = ControlState::Done;
        }
        let changes = self.change(now.wall, |change| {
            change.changes.record = leaves;
            change.give(command.clone(), message);
            if in_queue {
                change.leave_the_queue(Cause::Requested);
            }
        });
        Some((command, changes))
    }
}

impl Change<'_> {
    pub(super) fn give(&mut self, command: Command, message: Option<String>) {
        self.changes.commands.push(CommandChange::Given { command, message });
    }
}

/// Whether a job can take an action in its state.
fn takes(job: &Job, action: &ControlAction) -> bool {
    let in_call = matches!(job.status, JobStatus::InCall | JobStatus::Recording);
    let stopped = job.recording.state == RecordingState::Stopped;
    // A bot that came for one that was lost is in the call before it records; after a pause it records nothing until it is told to.
    let goes_on = matches!(job.recording.state, RecordingState::On | RecordingState::Paused);
    match action {
        ControlAction::LeaveCall => {
            matches!(job.status, JobStatus::Queued | JobStatus::Joining) || in_call
        }
        ControlAction::SendChatMessage => in_call,
        ControlAction::RequestRecordingPermission => in_call && !stopped,
        ControlAction::PauseRecording | ControlAction::ResumeRecording => in_call && goes_on,
        ControlAction::StopRecording => in_call && (goes_on || stopped),
        _ => false,
    }
}

/// The bot is lost. What may have been done must not be done twice; the others do no harm, and the next bot gets them.
pub(super) const AT_A_LOSS: Settlement = Settlement {
    actions: &[ControlAction::SendChatMessage, ControlAction::RequestRecordingPermission],
    state: ControlState::Expired,
    others: None,
};

/// The job has ended: its bot has left, and does nothing else any more.
pub(super) const AT_THE_END: Settlement = Settlement {
    actions: &[ControlAction::Cancel, ControlAction::LeaveCall],
    state: ControlState::Done,
    others: Some(ControlState::Expired),
};
