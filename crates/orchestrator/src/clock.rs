//! The one place where the server reads its clocks.

use std::time::{Duration, Instant, SystemTime};

use meetbot_types::Timestamp;

/// A moment on both of the server's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: what users see, and what `joinAt` means. It may jump.
    pub wall: Timestamp,
    /// Since the server started: what leases and time limits are measured by. It never jumps.
    pub steady: Duration,
}

impl Now {
    /// The steady clock in the store's unit.
    pub(crate) fn steady_ms(&self) -> i64 {
        i64::try_from(self.steady.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The server's clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Clocks whose steady one begins now.
    #[expect(clippy::disallowed_methods, reason = "the server's one reading of the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// What they show.
    #[expect(clippy::disallowed_methods, reason = "the server's one reading of the clock")]
    pub fn now(&self) -> Now {
        Now { wall: Timestamp::from(SystemTime::now()), steady: self.start.elapsed() }
    }
}
