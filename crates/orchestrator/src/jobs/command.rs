//! A command to a job's bot, and its states.

use meetbot_types::{CommandId, ControlAction, ControlResult, ControlState, Job, JobId, Timestamp};

/// A command and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// The job.
    pub job_id: JobId,
    /// The action.
    pub action: ControlAction,
    /// How far it has come.
    pub state: ControlState,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

impl Command {
    /// A new one, without an answer.
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

    /// The response of a control call.
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

/// A change of commands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CommandChange {
    /// A new one, behind those that the job has.
    Issued { command: Command, message: Option<String> },
    /// The bot has answered this one; it counts only while it is pending.
    Answered { id: CommandId, state: ControlState },
    /// All that are pending are settled, as far as the bot's loss or the job's end settles them.
    Settled(Settlement),
}

/// The new states of pending commands without an answer of the bot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settlement {
    /// Those with one of these actions
    pub actions: &'static [ControlAction],
    /// get this state,
    pub state: ControlState,
    /// and the others this one; `None` leaves them pending.
    pub others: Option<ControlState>,
}

/// After the loss of a bot: commands that must not run twice expire; the next bot gets the others.
pub(super) const ON_BOT_LOST: Settlement = Settlement {
    actions: &[ControlAction::SendChatMessage, ControlAction::RequestRecordingPermission],
    state: ControlState::Expired,
    others: None,
};

/// After the end of a job: commands to leave are done, the others expire.
pub(super) const ON_JOB_END: Settlement = Settlement {
    actions: &[ControlAction::Cancel, ControlAction::LeaveCall],
    state: ControlState::Done,
    others: Some(ControlState::Expired),
};
