//! Bounds the messages of a meeting's server, and decides when the task must yield.

use std::time::Instant;

use crate::bounds::{self, Allowance};

/// After this many messages, weighted by length, the task yields: about a millisecond of work.
const TURN: u64 = 32;

#[derive(Debug)]
pub(crate) struct Messages {
    left: Allowance,
    /// How many were handled since the last yield.
    taken: u64,
}

impl Messages {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: Allowance::new(bounds::MESSAGES, now), taken: 0 }
    }

    /// Counts a message of these bytes. Returns whether the server may send it.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let weight = 1 + (bytes / bounds::MESSAGE_BYTES) as u64;
        self.taken += weight;
        self.left.take(weight, now)
    }

    /// Counts a media message of these bytes, to which other bounds apply, only for the yield.
    pub(crate) const fn pass(&mut self, bytes: usize) {
        self.taken += 1 + (bytes / bounds::MESSAGE_BYTES) as u64;
    }

    /// Yields to other tasks if it is due: a socket that always has another message would block the thread. Cancel-safe.
    pub(crate) async fn yield_if_due(&mut self) {
        if self.taken >= TURN {
            self.taken = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::clock;

    #[test]
    fn a_flood_yields_after_few_messages_and_after_a_long_one() {
        let now = clock::now();
        let mut messages = Messages::new(now);
        let mut yields = |times, bytes| {
            for _ in 0..times {
                assert!(messages.take(bytes, now));
            }
            let mut given = pin!(messages.yield_if_due());
            given.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending
        };
        assert!(!yields(31, 10));
        assert!(yields(1, 10));
        assert!(!yields(1, 10), "it has just yielded");
        assert!(yields(1, 10_000));
        assert!(!messages.take(20 << 20, now));
    }
}
