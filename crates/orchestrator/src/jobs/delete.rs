//! A job's recording is deleted.

use meetbot_types::Timestamp;

use super::{
    change::{Changes, MixChange},
    record::JobRecord,
};

impl JobRecord {
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
            // Nothing stays nothing.
            recording.bytes = recording.bytes.filter(|bytes| *bytes == 0);
            change.record.job.manifest_uri = None;
            change.changes.mix = Some(MixChange::Dropped);
        }))
    }
}
