//! A job is cancelled.

use meetbot_types::{Cause, ControlAction, JobStatus, LeaveReason, job::JobEvent};

use super::{change::Changes, command::Command, record::JobRecord};
use crate::clock::StoreNow;

impl JobRecord {
    /// It is cancelled: at once where there is no bot and nothing was recorded, else when its bot has left. `None` where that changes nothing.
    pub(crate) fn cancel(&mut self, now: StoreNow) -> Option<Changes> {
        // What is known about the end once a bot finalises the recording holds: the manifest is written by it, also by the next bot if that one is lost.
        let is_finalised = match self.job.status {
            JobStatus::Finalizing => true,
            JobStatus::Queued => self.has_media(),
            _ => false,
        };
        let is_ending = is_finalised && self.cause.is_some();
        let is_over = self.job.status.is_final() || self.is_uploading();
        if is_over || is_ending || self.cause == Some(Cause::Cancelled) {
            return None;
        }
        self.cause = Some(Cause::Cancelled);
        Some(self.change(now.wall, |change| {
            if change.record.job.status == JobStatus::Queued {
                change.leave_the_queue(Cause::Cancelled);
            } else {
                let id = change.record.job.id;
                change.give(Command::new(id, ControlAction::Cancel, now.wall), None);
                change.record.job.leave_reason = Some(LeaveReason::Cancelled);
                change.step(JobEvent::Leave, None);
            }
        }))
    }
}
