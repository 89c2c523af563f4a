//! Detects that no media arrive although people are in the call. Pure.

use std::time::{Duration, Instant};

/// No media at all for this long may mean a broken media path.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// When media arrived last.
#[derive(Debug)]
pub(super) struct StallDetector {
    last: Instant,
    stalled: bool,
}

impl StallDetector {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: now, stalled: false }
    }

    /// Media arrived. Returns whether that ends a stall.
    pub(super) fn on_media(&mut self, now: Instant) -> bool {
        self.last = now;
        std::mem::take(&mut self.stalled)
    }

    /// Returns whether a stall begins. No media are `expected` when there are no people.
    pub(super) fn check(&mut self, expected: bool, now: Instant) -> bool {
        if !expected {
            self.last = now;
        } else if !self.stalled && now.saturating_duration_since(self.last) >= STALLED_AFTER {
            self.stalled = true;
            return true;
        }
        false
    }
}
