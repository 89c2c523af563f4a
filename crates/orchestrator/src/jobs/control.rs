//! Control calls for a running job.

use meetbot_types::{Cause, ControlAction, ControlState, Job, JobStatus, Platform, RecordingState};

use super::{
    change::{Change, Changes},
    command::{Command, CommandChange},
    record::JobRecord,
};
use crate::clock::StoreNow;

impl JobRecord {
    /// Adds a command for its bot. `None` where the job's state does not allow it. A job in the queue has no bot: leaving it is done at once.
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
        // Zoom streams a meeting to the bot, which is not in the room and cannot write there.
        let is_streamed = self.job.platform == Platform::ZoomWeb && self.tenant.live;
        if is_streamed && *action == ControlAction::SendChatMessage {
            command.state = ControlState::Denied;
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
        self.changes.commands.push(CommandChange::Issued { command, message });
    }
}

/// Whether the job's state allows an action.
fn takes(job: &Job, action: &ControlAction) -> bool {
    let in_call = matches!(job.status, JobStatus::InCall | JobStatus::Recording);
    let stopped = job.recording.state == RecordingState::Stopped;
    // A replacement bot is in the call before it records; after a pause it records nothing until it gets the command.
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
