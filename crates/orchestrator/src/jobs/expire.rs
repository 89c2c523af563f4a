//! A job that was not claimed in time.

use meetbot_types::{Cause, Failure, FailureCode, Timestamp};

use super::{change::Changes, record::JobRecord};

impl JobRecord {
    /// No worker could start a bot in time, or its consumer had as many as it may have.
    pub(crate) fn expire(&mut self, at_bot_limit: bool, now: Timestamp) -> Changes {
        let detail = if at_bot_limit {
            "its consumer had as many bots in meetings as it may have, until it was too late"
        } else {
            "no worker could start a bot in time"
        };
        let failure = Failure::new(FailureCode::DispatchTimeout, detail);
        self.change(now, |change| change.end_without_bot(Cause::Failed(failure)))
    }
}
