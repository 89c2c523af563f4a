//! What consumers may use and have used, as it is stored.

use std::num::NonZeroU32;

pub use crate::jobs::quota::Quota;

/// What one consumer may use, where that is not what the settings say for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// What the settings say.
    Default,
    /// No limit.
    Unlimited,
    /// So much.
    Limit(NonZeroU32),
}

/// A change of what a consumer may use. `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaChange {
    /// Bots at the same time.
    pub bots: Option<Own>,
    /// Minutes in a month.
    pub minutes: Option<Own>,
    /// Jobs in the queue.
    pub queued: Option<Own>,
}

/// What a consumer has used of its quota in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// What it may use.
    pub quota: Quota,
    /// Jobs that have a place: those with a bot, or with one to come in the place of one that was lost.
    pub bots: u32,
    /// Minutes of the month: of jobs that ended in it, and of those that are in a meeting.
    pub minutes: u64,
    /// Jobs that wait for their first bot.
    pub queued: u32,
}

/// What a consumer has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerUse {
    /// Its name.
    pub consumer: String,
    /// With live keys.
    pub live: Used,
    /// How many bytes its recordings of these have; a recording counts from the end of its job until it is deleted.
    pub live_recording_bytes: u64,
    /// With test keys.
    pub test: Used,
    /// How many bytes its recordings of these have.
    pub test_recording_bytes: u64,
}
