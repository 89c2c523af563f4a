//! The end of a job.

use meetbot_types::{FailureCode, Job, LeaveReason};

/// A job that has ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobEnd {
    /// As it is now.
    pub(crate) job: Job,
    /// The minutes that it costs.
    pub(crate) minutes: u64,
}

impl JobEnd {
    /// Of this job, which costs so many minutes.
    pub(crate) fn of(job: &Job, minutes: u64) -> Self {
        Self { job: job.clone(), minutes }
    }

    /// Whether there may be files of it: without a bot there are none.
    pub(crate) const fn may_have_files(&self) -> bool {
        self.job.attempt > 0
    }

    /// How long its bots were in the call, in milliseconds: from `joinedAt` to `endedAt`, 0 without one of them.
    fn duration_ms(&self) -> i64 {
        let span = self.job.joined_at.zip(self.job.ended_at);
        span.map_or(0, |(joined, ended)| ended.millis_since(joined).max(0))
    }

    /// A line of the log.
    pub(crate) fn log(&self) {
        let Self { job, minutes } = self;
        tracing::info!(
            job = %job.id,
            platform = job.platform.as_str(),
            status = job.status.as_str(),
            failure_code = job.failure_code.as_ref().map(FailureCode::as_str),
            failure_detail = job.failure_detail.as_deref(),
            leave_reason = job.leave_reason.as_ref().map(LeaveReason::as_str),
            attempt = job.attempt,
            duration_ms = self.duration_ms(),
            minutes,
            "job ended"
        );
    }
}
