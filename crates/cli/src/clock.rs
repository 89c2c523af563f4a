//! The one place where commands read the clock.

use std::time::SystemTime;

use meetbot::Timestamp;

/// The time now, for ages.
#[expect(clippy::disallowed_methods, reason = "the commands' one reading of the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
