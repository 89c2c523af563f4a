//! Whether anything comes from the people in the call. Pure.

use std::time::{Duration, Instant};

/// People who send nothing at all for this long may be a media path that is broken.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// When media came last.
#[derive(Debug)]
pub(super) struct Media {
    last: Instant,
    stalled: bool,
}

impl Media {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: now, stalled: false }
    }

    /// Something came. Answers whether that ends a stall.
    pub(super) fn came(&mut self, now: Instant) -> bool {
        self.last = now;
        std::mem::take(&mut self.stalled)
    }

    /// Answers whether a stall begins; nothing is expected where there are no people.
    pub(super) fn look(&mut self, expected: bool, now: Instant) -> bool {
        if !expected {
            self.last = now;
        } else if !self.stalled && now.saturating_duration_since(self.last) >= STALLED_AFTER {
            self.stalled = true;
            return true;
        }
        false
    }
}
