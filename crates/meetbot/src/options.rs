//! [`CallOptions`]: what can be set for a client and again for one call.

use std::time::Duration;

/// What one call does otherwise than its client; see [`MeetBot::with`](crate::MeetBot::with).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) max_retries: Option<u32>,
    pub(crate) idempotency_key: Option<String>,
}

impl CallOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long one try may take, from connecting to the last byte of the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the whole call may take, all its tries and the pauses between them included; by default only the tries are limited.
    ///
    /// A call that would have to wait beyond it gives up at once, with the error of its last try. A watch, a download and a wait for a bot
    /// are no calls in this sense: it holds for each of their requests.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long connecting may take. Calls with a limit of their own use connections of their own.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How often a call is tried again after its first try.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// The `Idempotency-Key` of a POST (1 to 255 visible ASCII characters), instead of one made for each call. A second call with the same key
    /// and body gets the first one's answer for 24 h; with another body it is refused, so use it for one call only.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}
