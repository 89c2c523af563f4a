//! The defaults of fields that older orders do not have.

use super::HEARTBEAT_SECONDS;

/// How long a bot in a process of its own goes on while no server answers it, in hours.
pub const ALONE_HOURS: u32 = 24;

pub(super) fn heartbeat_ms() -> u64 {
    u64::from(HEARTBEAT_SECONDS) * 1000
}

pub(super) fn alone_ms() -> u64 {
    u64::from(ALONE_HOURS) * 3_600_000
}
