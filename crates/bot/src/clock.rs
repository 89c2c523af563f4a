//! The one place where a bot reads its clocks.

use std::time::{Instant, SystemTime};

use meetbot_types::Timestamp;

/// The monotonic clock: offsets and rules are measured by it.
#[expect(clippy::disallowed_methods, reason = "the bot's one reading of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock: what users see.
#[expect(clippy::disallowed_methods, reason = "the bot's one reading of the clock")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// The milliseconds between two moments; 0 if `to` is earlier.
pub(crate) fn ms_between(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

/// Waits until this moment; without one, it never returns.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
