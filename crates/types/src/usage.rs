//! What a consumer has used of what it may use.

use serde::{Deserialize, Serialize};

/// What a key's consumer has used, in the key's world (live or test).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The month in UTC, as in `2026-11`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9]{4}-[0-9]{2}$"))]
    pub month: String,
    /// Started minutes in meetings: of jobs that ended in this month, but for failures that are not billed, and of bots that are in a meeting now.
    pub minutes: u64,
    /// How many there may be before new jobs are refused with `quota_exceeded`. `null`: no limit; so it is in the test world.
    pub max_minutes: Option<u64>,
    /// Jobs with a bot, or with one to come for one that was lost.
    pub bots: u64,
    /// How many there may be before further jobs wait in the queue. `null`: no limit of this consumer's.
    pub max_bots: Option<u64>,
    /// Jobs that have had no bot yet, whenever their time is.
    pub queued_jobs: u64,
    /// How many there may be before new jobs are refused with `quota_exceeded`. `null`: no limit.
    pub max_queued_jobs: Option<u64>,
}
