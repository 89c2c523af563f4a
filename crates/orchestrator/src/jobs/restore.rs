//! A job is restored from a backup.

use meetbot_types::{Cause, Failure, FailureCode, Timestamp};

use super::{change::Changes, record::JobRecord};

impl JobRecord {
    /// The job was restored from a backup that was made while it had a bot, and is to get no other one that joins its meeting. Where nothing was recorded it
    /// fails at once; else the next bot only finalises what is on disk.
    pub(crate) fn end_after_restore(&mut self, now: Timestamp) -> Changes {
        let detail =
            "its bot was in the meeting when the backup was made, and the restore ended it";
        let cause = Cause::Failed(Failure::new(FailureCode::InternalError, detail));
        if self.has_media() {
            self.cause.get_or_insert(cause);
            self.lose(now, now)
        } else {
            self.change(now, |change| change.end_without_bot(cause))
        }
    }
}
