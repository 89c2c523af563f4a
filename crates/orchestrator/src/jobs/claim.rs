//! A job is given to a new bot.

use std::num::NonZeroU32;

use meetbot_types::{Cause, Ending, Failure, FailureCode, Permission, Timestamp, job::JobEvent};

use super::{
    change::Changes,
    quota,
    record::{JobRecord, MAX_ATTEMPTS},
};
use crate::clock::StoreNow;

impl JobRecord {
    /// Whether it gets a bot only while its consumer has minutes left: who is in a meeting stays there.
    pub(crate) const fn needs_minutes(&self) -> bool {
        self.epoch == 0
    }

    /// Its time has come, and its consumer has had all minutes of the month.
    pub(crate) fn refuse_for_minutes(&mut self, minutes: NonZeroU32, now: Timestamp) -> Changes {
        let detail = minutes_are_used_up(minutes, now);
        let failure = Failure::new(FailureCode::QuotaExceeded, detail);
        self.change(now, |change| change.end_without_bot(Cause::Failed(failure)))
    }

    /// A new bot takes it from the queue, and shows the token with this SHA-256. With an ending it joins nothing, finalises what is on disk, and ends so.
    pub(crate) fn claim(
        &mut self,
        token_hash: [u8; 32],
        now: StoreNow,
    ) -> (Option<Ending>, Changes) {
        let ending = self.ending_without_meeting();
        let changes = self.change(now.wall, |change| {
            let record = &mut *change.record;
            record.epoch += 1;
            record.job.attempt = record.epoch;
            if let Some(earlier) = record.token_hash.replace(token_hash) {
                record.past_tokens.extend(earlier);
            }
            record.lease_until = Some(now.lease + now.timing.lease());
            record.applied = 0;
            change.step(JobEvent::Claim, Some("launching"));
            if ending.is_some() {
                change.step(JobEvent::Leave, None);
            }
        });
        (ending, changes)
    }

    /// What the job's next bot has to end with, instead of joining: it was leaving already, or too many were lost.
    fn ending_without_meeting(&self) -> Option<Ending> {
        let exhausted = || {
            let detail = format!("{MAX_ATTEMPTS} bots were lost one after the other");
            let failure = Failure::new(FailureCode::InternalError, detail);
            (self.lost() >= MAX_ATTEMPTS).then_some(Cause::Failed(failure))
        };
        let denied = self.job.recording.permission == Permission::Denied;
        let cause = self.cause.clone().or_else(exhausted)?;
        Some(cause.ending(self.has_media(), denied))
    }
}

/// Why there is no other bot.
pub(crate) fn minutes_are_used_up(minutes: NonZeroU32, now: Timestamp) -> String {
    let next = quota::next_month(now);
    format!(
        "the consumer's minutes of this month ({minutes}) are used up; the next month begins at {next}"
    )
}
