//! The messages of a meeting's server: how many it may still send, and when other tasks are to have the thread.

use std::time::Instant;

use crate::bounds::{self, Allowance};

/// After so many messages, each counted by its length, other tasks get the thread: about a millisecond of work.
const TURN: u64 = 32;

#[derive(Debug)]
pub(crate) struct Messages {
    left: Allowance,
    /// How many were taken in this turn.
    taken: u64,
}

impl Messages {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: Allowance::new(bounds::MESSAGES, now), taken: 0 }
    }

    /// Whether the server may send one of so many bytes too.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let weight = 1 + (bytes / bounds::MESSAGE_BYTES) as u64;
        self.taken += weight;
        self.left.take(weight, now)
    }

    /// The server sent one of so many bytes that is media, which other bounds hold for.
    pub(crate) const fn pass(&mut self, bytes: usize) {
        self.taken += 1 + (bytes / bounds::MESSAGE_BYTES) as u64;
    }

    /// Gives the thread to other tasks where it is their turn: a socket that always has another message would keep it. Dropping the call loses nothing.
    pub(crate) async fn give_way(&mut self) {
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
    fn a_flood_gives_way_after_few_messages_and_after_a_long_one() {
        let now = clock::now();
        let mut messages = Messages::new(now);
        let mut gives_way = |times, bytes| {
            for _ in 0..times {
                assert!(messages.take(bytes, now));
            }
            let mut given = pin!(messages.give_way());
            given.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending
        };
        assert!(!gives_way(31, 10));
        assert!(gives_way(1, 10));
        assert!(!gives_way(1, 10), "it had its turn");
        assert!(gives_way(1, 10_000));
        assert!(!messages.take(20 << 20, now));
    }
}
