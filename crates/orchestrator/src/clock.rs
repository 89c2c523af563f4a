//! The server's clocks, which are read only here.

use std::{
    ops::Add,
    time::{Duration, Instant, SystemTime},
};

use meetbot_types::Timestamp;

use crate::timing::Timing;

/// A moment on both of the server's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: shown to users, and the clock of `joinAt`. It may jump.
    pub wall: Timestamp,
    /// The time since the server started, by which time limits are measured. It never jumps.
    pub steady: Duration,
}

/// A moment by the store's clocks, as its methods take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreNow {
    /// The wall clock. It may jump.
    pub wall: Timestamp,
    /// The clock by which the store measures leases. It never jumps.
    pub lease: LeaseTime,
    /// How long a lease lasts, and how long a job waits for its next bot.
    pub timing: Timing,
}

/// A moment on the clock by which a store measures leases, in milliseconds. Only a store creates one, because all leases have to use one clock: with SQLite the
/// steady clock of the one server on the database, because steady clocks of two processes cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseTime(i64);

impl LeaseTime {
    /// From a stored value, or a value of the store's clock.
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The value that is stored.
    pub(crate) const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time since `earlier`; zero if that is in the future.
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
    /// Starts the steady clock at zero.
    #[expect(clippy::disallowed_methods, reason = "the server's one reading of the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "the server's one reading of the clock")]
    pub fn now(&self) -> Now {
        Now { wall: Timestamp::from(SystemTime::now()), steady: self.start.elapsed() }
    }
}
