//! When a delivery is tried again. Pure.

use std::time::Duration;

use meetbot_types::Timestamp;

use super::Verdict;

/// The wait after each failed try; after the last one the delivery is dead.
const WAITS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(6),
    Duration::from_hours(24),
];
/// The longest `Retry-After` that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The result of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The answer's status, where there was an answer.
    pub status: Option<u16>,
    /// The answer's `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// For how long the endpoint asks for no requests at all: `Retry-After` with 429 or 503.
    pub(crate) fn rest_wanted(self) -> Option<Duration> {
        self.retry_after.filter(|_| matches!(self.status, Some(429 | 503)))
    }
}

/// What follows from the try number `attempt` (from 1). `jitter` is random, from 0 to 1: waits are 10 % longer at most.
pub(crate) fn next(attempt: u32, outcome: Outcome, jitter: f64, now: Timestamp) -> Verdict {
    match outcome.status {
        Some(200..=299) => return Verdict::Delivered,
        // 410: the endpoint is gone permanently.
        Some(410) => return Verdict::Dead,
        _ => {}
    }
    let Some(wait) = WAITS.get(attempt.saturating_sub(1) as usize) else { return Verdict::Dead };
    let wait = wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0);
    let rest_wanted = outcome.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    Verdict::RetryAt(now + wait.max(rest_wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(attempt: u32, status: u16, retry_after: Option<u64>) -> Verdict {
        let retry_after = retry_after.map(Duration::from_secs);
        next(attempt, Outcome { status: Some(status), retry_after }, 0.0, NOW)
    }

    #[test]
    fn the_waits_grow_and_the_last_failure_is_final() {
        let waits: Vec<i64> = (1..)
            .map_while(|attempt| match after(attempt, 500, None) {
                Verdict::RetryAt(at) => Some(at.as_seconds()),
                _ => None,
            })
            .collect();
        assert_eq!(waits, [5, 30, 120, 600, 3600, 21_600, 86_400]);
        assert_eq!(after(8, 500, None), Verdict::Dead);
    }

    #[test]
    fn the_documented_waits_are_those_of_the_code() {
        let reported = |wait: &Duration| match wait.as_secs() {
            seconds @ 0..60 => format!("{seconds} s"),
            seconds @ 60..3_600 => format!("{} min", seconds / 60),
            seconds => format!("{} h", seconds / 3_600),
        };
        let waits = WAITS.iter().map(reported).collect::<Vec<_>>().join(", ");
        let document = std::fs::read_to_string(xtask::spec_file::path("docs/webhooks.md")).unwrap();
        assert!(document.contains(&format!("after {waits},")), "docs/webhooks.md: {waits}");
    }

    #[test]
    fn a_success_and_a_410_end_a_delivery() {
        assert_eq!(after(1, 204, None), Verdict::Delivered);
        assert_eq!(after(1, 410, None), Verdict::Dead);
        assert!(matches!(after(1, 301, None), Verdict::RetryAt(_)));
    }

    #[test]
    fn a_retry_after_is_honoured_within_bounds() {
        assert_eq!(after(1, 429, Some(60)), Verdict::RetryAt(NOW + Duration::from_mins(1)));
        assert_eq!(after(1, 503, Some(1)), Verdict::RetryAt(NOW + Duration::from_secs(5)));
        assert_eq!(
            after(1, 503, Some(9_999_999)),
            Verdict::RetryAt(NOW + Duration::from_hours(24))
        );
    }

    #[test]
    fn jitter_lengthens_a_wait() {
        let Verdict::RetryAt(at) = next(3, Outcome { status: None, retry_after: None }, 1.0, NOW)
        else {
            panic!("it is tried again")
        };
        assert_eq!(at, NOW + Duration::from_secs(132));
    }
}
