//! The one place where the SDK reads its clocks.

use std::time::SystemTime;

use meetbot_types::Timestamp;
use tokio::time::Instant;

/// The steady clock: time limits and waits are measured by it.
#[expect(clippy::disallowed_methods, reason = "the SDK's one reading of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for dates in `Retry-After`.
#[expect(clippy::disallowed_methods, reason = "the SDK's one reading of the clock")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
