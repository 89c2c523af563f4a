//! The rules of a job's life: what a request makes of it, and what follows when something happens to it.

pub(crate) mod advance;
pub(crate) mod create;
pub(crate) mod derive;
mod end;
pub(crate) mod quota;
pub(crate) mod refusal;
pub(crate) mod withheld;

use meetbot_types::{ControlResult, Job};

pub(crate) use self::end::JobEnd;
use crate::store::Command;

/// What a control call answers.
pub(crate) fn control_result(command: &Command, job: &Job) -> ControlResult {
    ControlResult {
        job_id: job.id,
        command_id: command.id,
        action: command.action.clone(),
        state: command.state.clone(),
        status: job.status.clone(),
        recording: job.recording.clone(),
        requested_at: command.requested_at,
        updated_at: command.updated_at,
    }
}
