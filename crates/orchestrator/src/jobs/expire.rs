//! A job that was not claimed in time.

use meetbot_types::{Cause, Failure, FailureCode, Timestamp};

use super::{change::Changes, quota::Awaited, record::JobRecord};

impl JobRecord {
    /// No worker could start a bot in time, or all that it waited for was taken.
    pub(crate) fn expire(&mut self, awaited: Option<Awaited>, now: Timestamp) -> Changes {
        let detail = match awaited {
            Some(Awaited::Slot) => {
                "its consumer had as many bots in meetings as it may have, until it was too late"
            }
            Some(Awaited::Account) => {
                "its account had as many bots in meetings as it may have, until it was too late"
            }
            None => "no worker could start a bot in time",
        };
        let failure = Failure::new(FailureCode::DispatchTimeout, detail);
        self.change(now, |change| change.end_without_bot(Cause::Failed(failure)))
    }
}
