//! The one place where a bot reads its clocks.

use std::{
    pin::Pin,
    time::{Instant, SystemTime},
};

use meetbot_types::Timestamp;
use tokio::time::Sleep;

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

/// A timer that is kept between waits. Each new one would take the lock of the runtime's timers twice; to move one to a later moment takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits until this moment; without one, it never returns. Cancel-safe.
    pub(crate) async fn until(&mut self, at: Option<Instant>) {
        let Some(at) = at.map(tokio::time::Instant::from) else {
            return std::future::pending().await;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn a_timer_is_moved_to_later_and_to_earlier_and_waits_again_after_its_end() {
        let mut timer = Timer::default();
        let later = |minutes| Some(now() + Duration::from_mins(minutes));
        for _ in 0..2 {
            for at in [None, later(1), later(2), later(1)] {
                let wait = pin!(timer.until(at));
                assert!(wait.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            let soon = now() + Duration::from_millis(1);
            timer.until(Some(soon)).await;
            assert!(now() >= soon);
            timer.until(Some(soon)).await;
        }
    }
}
