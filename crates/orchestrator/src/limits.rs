//! Limits and rate limits of callers. The rule of rate limits is pure and takes `now`.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

const WINDOW: Duration = Duration::from_mins(1);

/// The limits of callers; `default.toml` describes each setting.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests of one key in a minute; `None`: no limit.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Unknown keys from one address in a minute; `None`: no limit.
    pub unknown_keys_per_minute: Option<NonZeroU32>,
    /// Concurrent requests.
    pub requests_at_once: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address; `None`: no limit.
    pub connections_per_address: Option<NonZeroU32>,
    /// Concurrent event streams and downloads of one key.
    pub streams_per_key: usize,
    /// How long a caller may take to send the head of a request.
    pub head: Duration,
    /// How long a caller may take to send the body of a request.
    pub body: Duration,
}

/// The state of a rate limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimitState {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// The time until the full limit is available again.
    pub(crate) reset: Duration,
    /// How long to wait, if the request exceeds the limit.
    pub(crate) wait: Option<Duration>,
}

/// Takes one token of a bucket of `limit`, which refills evenly within a minute. `all_back` is when the bucket is full again.
fn take(limit: NonZeroU32, all_back: &mut Duration, now: Duration) -> RateLimitState {
    let each = WINDOW / limit.get();
    let missing = all_back.saturating_sub(now);
    let wait = (missing + each).checked_sub(WINDOW).filter(|wait| !wait.is_zero());
    let missing = if wait.is_none() { missing + each } else { missing };
    *all_back = now + missing;
    let remaining = WINDOW.saturating_sub(missing).as_nanos() / each.as_nanos().max(1);
    let remaining = u32::try_from(remaining).unwrap_or(u32::MAX).min(limit.get());
    RateLimitState { limit: limit.get(), remaining, reset: missing, wait }
}

/// A rate limit for each key `K`.
#[derive(Debug)]
pub(crate) struct RateLimiter<K> {
    limit: Option<NonZeroU32>,
    all_back: Mutex<HashMap<K, Duration>>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// `limit` in a minute for each key; `None`: no limit.
    pub(crate) fn new(limit: Option<NonZeroU32>) -> Self {
        Self { limit, all_back: Mutex::default() }
    }

    /// Takes one for this key; `None` if there is no limit.
    pub(crate) fn take(&self, key: K, now: Duration) -> Option<RateLimitState> {
        let limit = self.limit?;
        let mut all_back = self.all_back.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys with a full bucket are removed when the map would have to grow.
        if all_back.len() == all_back.capacity() {
            all_back.retain(|_, at| *at > now);
        }
        Some(take(limit, all_back.entry(key).or_default(), now))
    }

    /// How long this key has to wait, if it is at the limit. Takes nothing.
    pub(crate) fn wait(&self, key: &K, now: Duration) -> Option<Duration> {
        let limit = self.limit?;
        let all_back = self.all_back.lock().unwrap_or_else(PoisonError::into_inner);
        take(limit, &mut all_back.get(key).copied()?, now).wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn the_whole_limit_may_be_used_at_once_and_refills_evenly() {
        let mut all_back = Duration::ZERO;
        let mut at = |ms| {
            let left = take(limit(3), &mut all_back, Duration::from_millis(ms));
            let ms = |time: Duration| time.as_millis();
            (left.remaining, ms(left.reset), left.wait.map(ms))
        };
        let timeline = [
            (1_000, (2, 20_000, None)),
            (1_000, (1, 40_000, None)),
            (1_000, (0, 60_000, None)),
            (1_000, (0, 60_000, Some(20_000))),
            // A refused request takes nothing.
            (11_000, (0, 50_000, Some(10_000))),
            (21_000, (0, 60_000, None)),
            (61_000, (1, 40_000, None)),
            (900_000, (2, 20_000, None)),
        ];
        for (ms, expected) in timeline {
            assert_eq!(at(ms), expected, "at {ms}");
        }
    }

    #[test]
    fn at_most_the_limit_is_let_through() {
        for number in [1, 7, 60, 999, 60_000, 4_000_000_000] {
            let mut all_back = Duration::ZERO;
            let tries = 3 * number.min(100_000);
            let through = (0..tries)
                .filter(|_| {
                    take(limit(number), &mut all_back, Duration::from_secs(9)).wait.is_none()
                })
                .count();
            assert_eq!(through, tries.min(number) as usize, "{number} a minute");
        }
    }

    #[test]
    fn keys_have_separate_limits_and_unused_keys_are_removed() {
        let allowance = RateLimiter::new(Some(limit(1)));
        let now = Duration::from_secs(1);
        assert_eq!(allowance.wait(&1, now), None);
        assert_eq!(allowance.take(1, now).unwrap().wait, None);
        assert!(
            allowance.take(1, now).unwrap().wait.is_some() && allowance.wait(&1, now).is_some()
        );
        assert_eq!(allowance.take(2, now).unwrap().wait, None);
        for key in 3..10_000_u64 {
            allowance.take(key, Duration::from_secs(60 * key)).unwrap();
        }
        assert!(allowance.all_back.lock().unwrap().len() < 10);
        assert_eq!(RateLimiter::new(None).take(1, now), None);
    }
}
