//! A job that waits for the upload of its recording, and ends once that is confirmed.

use meetbot_types::{Cause, Failure, FailureCode, JobStatus, Timestamp, job::JobEvent};

use super::{
    change::{Change, Changes, RoomChange, UploadChange},
    command::{self, CommandChange},
    record::JobRecord,
    upload::Upload,
};

/// The `statusDetail` of a job whose recording is being uploaded to the bucket.
const UPLOADING: &str = "uploading";

impl JobRecord {
    /// Whether its bot is gone and its recording is being uploaded to the bucket.
    pub(crate) fn is_uploading(&self) -> bool {
        self.job.status == JobStatus::Finalizing && self.lease_until.is_none()
    }

    /// The recording of the upload with this nonce is in the bucket, with a manifest at this URI and so many bytes, or is lost for good: its job, which waits
    /// for `upload`, ends. `None` where it does not wait, or waits for another upload, as after [`JobRecord::finish_elsewhere`].
    pub(crate) fn end_upload(
        &mut self,
        upload: &Upload,
        nonce: &str,
        stored: Option<&(String, u64)>,
        now: Timestamp,
    ) -> Option<Changes> {
        if !self.is_uploading() || upload.nonce != nonce {
            return None;
        }
        Some(self.change(now, |change| {
            change.changes.upload = Some(UploadChange::Ended);
            if let Some((uri, bytes)) = stored {
                change.end(&upload.ending, Some(uri), upload.duration_ms);
                change.record.job.recording.bytes = Some(*bytes);
            } else {
                let detail = if upload.spool.is_some() {
                    "the recording was finished on a worker's disk, and the worker did not upload it: its files are gone or damaged there, or no server has heard of the worker for a day"
                } else {
                    "the recording was finished, and its files were gone from the server's disk before they were in the bucket"
                };
                let cause = Cause::Failed(Failure::new(FailureCode::InternalError, detail));
                change.end(&cause.ending(true, false), None, 0);
            }
        }))
    }
}

impl JobRecord {
    /// No server hears of the worker that has the finished recording of this upload: the next bot finishes it from what is in the bucket, and the job ends as it
    /// would have. `None` where it does not wait for this upload any more.
    pub(crate) fn finish_elsewhere(
        &mut self,
        waiting: &Upload,
        nonce: &str,
        now: Timestamp,
    ) -> Option<Changes> {
        if !self.is_uploading() || waiting.nonce != nonce {
            return None;
        }
        // Its bot was not lost: it has done its work.
        self.handovers += 1;
        self.cause = Some(waiting.ending.cause());
        let mut changes = self.lose(now, now);
        changes.upload = Some(UploadChange::Ended);
        Some(changes)
    }
}

impl Change<'_> {
    /// The bot has gone. The job waits until its recording is in the bucket, and gives up its slot.
    pub(super) fn hold(&mut self, upload: Upload) {
        self.emit_withheld();
        self.record.job.leave_reason.clone_from(&upload.ending.leave_reason);
        self.step(JobEvent::Leave, Some(UPLOADING));
        self.detail(Some(UPLOADING));
        self.record.lease_until = None;
        self.changes.rooms.push(RoomChange::Leaves);
        self.changes.commands.push(CommandChange::Settled(command::ON_JOB_END));
        self.changes.upload = Some(UploadChange::Waits(upload));
    }
}
