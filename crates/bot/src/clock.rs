//! The one place where a bot reads its clocks.

use std::time::{Instant, SystemTime};

use meetbot_types::Timestamp;

/// The clock that never jumps: offsets and rules are measured by it.
#[expect(clippy::disallowed_methods, reason = "the bot's one reading of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock: what users see.
#[expect(clippy::disallowed_methods, reason = "the bot's one reading of the clock")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
