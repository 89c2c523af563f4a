//! The claim of a job for a new bot.

use std::num::NonZeroU32;

use meetbot_types::{
    Availability, Cause, Ending, Failure, FailureCode, Permission, Platform, Timestamp,
    availability::{joinable, of_platform},
    job::JobEvent,
};

use super::{
    change::{Change, Changes},
    quota,
    record::{JobRecord, MAX_ATTEMPTS},
};
use crate::clock::StoreNow;

/// The ways into meetings that the bots of a claim know, for a job of the live (`true`) or the test world. The name is that of the job's consumer, where
/// [`JobRecord::needs_consumer`].
pub type AvailabilityLookup = dyn Fn(bool, Option<&str>) -> Vec<Availability> + Send + Sync;

impl JobRecord {
    /// Whether its bot gets into the meeting by an app or an account that the operator has set up for its consumer: whom the claim has to know by name.
    pub(crate) fn needs_consumer(&self) -> bool {
        let has_app = self.tenant.live && self.job.platform == Platform::ZoomWeb;
        has_app || self.job.account.is_some()
    }

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

    /// A new bot takes it from the queue, which knows these ways into meetings, and shows the token with this SHA-256. With an ending it joins nothing,
    /// finalises what is on disk, and ends so.
    pub(crate) fn claim(
        &mut self,
        token_hash: [u8; 32],
        available: &[Availability],
        now: StoreNow,
    ) -> (Option<Ending>, Changes) {
        let leaving = self.ending_without_meeting();
        let changes = self.change(now.wall, |change| {
            change.begin_attempt(change.record.epoch + 1, token_hash, now);
            if leaving.is_some() {
                change.step(JobEvent::Leave, None);
            }
        });
        (leaving.or_else(|| self.ending_without_way(available)), changes)
    }

    /// How it ends where its platform is no longer available: the server's settings, or what is installed, changed while it waited.
    fn ending_without_way(&self, available: &[Availability]) -> Option<Ending> {
        let platform = &self.job.platform;
        if joinable(available).contains(&platform) {
            return None;
        }
        let mut detail = format!("no bot of this server can join {platform} any more");
        for missing in of_platform(available, platform).iter().flat_map(|way| &way.missing) {
            detail.extend(["; ", missing.message.as_str()]);
        }
        let failure = Failure::new(FailureCode::DispatchTimeout, detail);
        Some(Cause::Failed(failure).ending(false, false))
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

impl Change<'_> {
    /// The job has the bot of this attempt from now on, which shows the token with this SHA-256.
    pub(super) fn begin_attempt(&mut self, epoch: u32, token_hash: [u8; 32], now: StoreNow) {
        let record = &mut *self.record;
        record.epoch = epoch;
        record.job.attempt = epoch;
        if let Some(earlier) = record.token_hash.replace(token_hash) {
            record.past_tokens.extend(earlier);
        }
        record.lease_until = Some(now.lease + now.timing.lease());
        record.applied = 0;
        self.step(JobEvent::Claim, Some("launching"));
    }
}

/// Why the job gets no other bot.
pub(crate) fn minutes_are_used_up(minutes: NonZeroU32, now: Timestamp) -> String {
    let next = quota::next_month(now);
    format!(
        "the consumer's minutes of this month ({minutes}) are used up; the next month begins at {next}"
    )
}

#[cfg(test)]
pub(crate) fn all_available() -> Vec<Availability> {
    let joined = |platform: &Platform| Availability {
        platform: platform.clone(),
        via: meetbot_types::Via::Native,
        experimental: false,
        missing: Vec::new(),
    };
    Platform::ALL.iter().map(joined).collect()
}
