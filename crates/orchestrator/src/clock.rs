//! The one place where the server reads its clocks.

use std::{
    ops::Add,
    time::{Duration, Instant, SystemTime},
};

use meetbot_types::Timestamp;

use crate::timing::Timing;

/// A moment on both of the server's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: what users see, and what `joinAt` means. It may jump.
    pub wall: Timestamp,
    /// Since the server started: what time limits are measured by. It never jumps.
    pub steady: Duration,
}

/// A moment as a store says it, which is what its verbs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreNow {
    /// The wall clock. It may jump.
    pub wall: Timestamp,
    /// What the store measures leases by. It never jumps.
    pub lease: LeaseTime,
    /// How long a lease lasts, and a job waits for its next bot.
    pub timing: Timing,
}

/// A moment on the clock by which a store measures leases, in milliseconds. Only a store makes one, since only one clock can be right: on SQLite it is the
/// steady clock of the one server that has the database, and what two processes' steady clocks say cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseTime(i64);

impl LeaseTime {
    /// One that was stored, or that a store reads from its clock.
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// As it is stored.
    pub(crate) const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero where it is yet to come.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for LeaseTime {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
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
