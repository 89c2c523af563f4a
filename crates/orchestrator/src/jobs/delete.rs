//! The deletion of a job's recording.

use meetbot_types::{ConsumerId, JobStatus, Timestamp};

use super::{
    change::{Changes, MixChange},
    record::JobRecord,
};

/// Whether the bots of a job have ended their work for good; `is_uploading` is whether its recording is being uploaded to a bucket. From then on it may be erased.
pub(crate) fn has_no_more_bots(status: &JobStatus, is_uploading: bool) -> bool {
    status.is_final() || is_uploading
}

impl JobRecord {
    /// Whether it may be erased for this consumer.
    pub(crate) fn may_be_erased(&self, consumer: ConsumerId) -> bool {
        self.tenant.consumer == consumer && has_no_more_bots(&self.job.status, self.is_uploading())
    }

    /// The recording of a job that has ended is deleted, and its mix is not to be made any more. How many bytes it has is not known until all of it is removed.
    /// `None` where there is nothing to delete.
    pub(crate) fn delete_recording(&mut self, now: Timestamp) -> Option<Changes> {
        if !self.job.status.is_final() || self.job.recording.deleted_at.is_some() {
            return None;
        }
        Some(self.change(now, |change| {
            change.touch();
            let recording = &mut change.record.job.recording;
            recording.deleted_at = Some(now);
            // 0 bytes stay 0 bytes.
            recording.bytes = recording.bytes.filter(|bytes| *bytes == 0);
            change.record.job.manifest_uri = None;
            change.changes.mix = Some(MixChange::Dropped);
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_be_erased_once_it_has_no_bot() {
        for status in JobStatus::ALL {
            assert_eq!(has_no_more_bots(status, false), status.is_final(), "{status}");
        }
        assert!(has_no_more_bots(&JobStatus::Finalizing, true));
    }
}
