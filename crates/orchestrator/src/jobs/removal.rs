//! Recordings that were removed, and jobs that were deleted: when the bucket is looked at again, and how long they are remembered. Pure.

use std::time::Duration;

use meetbot_types::Timestamp;

use crate::clock::StoreNow;

/// How long the store remembers that a job was deleted: so late a worker's disk may come back, and the files of the job are removed from it.
const REMEMBERED: Duration = Duration::from_hours(366 * 24);
/// How much later the last look into the bucket is than the first.
const LAST_LOOK: u32 = 24;

/// When the bucket is looked at next for what a worker has uploaded after the removal at this time; `None`: not again. A worker that is cut off from the servers
/// uploads until its bot leaves.
pub(crate) fn next_look(removed_at: Timestamp, now: StoreNow) -> Option<Timestamp> {
    let first = now.timing.removed_again_after();
    [first, first * LAST_LOOK].map(|after| removed_at + after).into_iter().find(|at| *at > now.wall)
}

/// Removals before this time are forgotten.
pub(crate) fn forgotten_before(now: StoreNow) -> Timestamp {
    let remembered = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.wall.as_millis().saturating_sub(remembered))
}
