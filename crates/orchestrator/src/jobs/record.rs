//! A job as the server stores it. Each operation on it is a file beside this one: it changes the record and returns the consequences. Pure; the store loads the
//! record, applies an operation, and saves both in one transaction.

use meetbot_types::{Cause, ConsumerId, Job, MeetingLink, Timestamp};
use subtle::ConstantTimeEq as _;

use super::{
    quota::{self, MeteredTime, Slot},
    withheld::Withheld,
};
use crate::clock::LeaseTime;

/// How often a job's bots are replaced; the attempt after these only finalises what is on disk.
pub const MAX_ATTEMPTS: u32 = 5;

/// A consumer in one of its two worlds. Each query about a job names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The live world, or the one of `mb_test_` keys.
    pub live: bool,
}

/// When a job's first bot is to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Not before.
    pub from: Timestamp,
    /// A job that is not claimed by then fails.
    pub by: Timestamp,
}

/// A job with what the API does not show.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRecord {
    pub(crate) tenant: Tenant,
    pub(crate) job: Job,
    pub(crate) link: MeetingLink,
    /// How many bots it has had; the last one's attempt.
    pub(crate) epoch: u32,
    pub(crate) token_hash: Option<[u8; 32]>,
    /// The hashes of its earlier bots' tokens, one behind the other.
    pub(crate) past_tokens: Vec<u8>,
    pub(crate) lease_until: Option<LeaseTime>,
    /// The last report of the attempt that is applied.
    pub(crate) applied: u64,
    /// The last event's sequence number.
    pub(crate) sequence: u64,
    /// Why the job will end, once that is known.
    pub(crate) cause: Option<Cause>,
    /// When a bot may start.
    pub(crate) run_at: Timestamp,
    /// How many of its bots were not lost, but left because their server stopped.
    pub(crate) handovers: u32,
    /// How long its bots were in the meeting.
    pub(crate) metered: MeteredTime,
    /// Withheld content that the timeline has not reported yet.
    pub(crate) withheld: Withheld,
}

impl JobRecord {
    /// Whether a token is that of its bot.
    pub(crate) fn has_bot(&self, token_hash: &[u8; 32]) -> bool {
        self.token_hash.is_some_and(|hash| hash.ct_eq(token_hash).into())
    }

    /// Whether a token is that of its bot, or of an earlier one.
    pub(crate) fn has_had_bot(&self, token_hash: &[u8; 32]) -> bool {
        let mut earlier = self.past_tokens.chunks(token_hash.len());
        self.has_bot(token_hash) || earlier.any(|hash| hash.ct_eq(token_hash).into())
    }

    /// Whether this attempt's bot has the job.
    pub(crate) fn is_leased_to(&self, epoch: u32) -> bool {
        self.epoch == epoch && self.lease_until.is_some()
    }

    /// Whether a bot with this token and attempt receives commands.
    pub(crate) fn commands_bot(&self, epoch: u32, token_hash: &[u8; 32]) -> bool {
        self.has_bot(token_hash) && self.is_leased_to(epoch)
    }

    /// Whether its recording is in a bucket, and nothing of it is still to be made or brought there: `waits` is whether its mix or its upload does.
    pub(crate) fn is_stored(&self, waits: bool) -> bool {
        !waits && self.job.manifest_uri.as_deref().is_some_and(|uri| uri.starts_with("s3://"))
    }

    /// Whether it has ended without what its bots recorded.
    pub(crate) fn has_lost_recording(&self) -> bool {
        self.job.status.is_final() && self.job.manifest_uri.is_none() && self.has_media()
    }

    /// Whether it holds a slot of its consumer.
    pub(super) fn slot(&self) -> Slot {
        if self.is_uploading() {
            // An outage of the bucket keeps no bot from its meeting.
            return Slot::None;
        }
        quota::slot(&self.job.status, self.epoch)
    }

    /// How many of its bots were lost, if none is at work.
    pub(super) fn lost(&self) -> u32 {
        self.epoch.saturating_sub(self.handovers)
    }

    /// Whether any packet is on disk.
    pub(super) fn has_media(&self) -> bool {
        self.job.recording.started_at.is_some()
    }
}
