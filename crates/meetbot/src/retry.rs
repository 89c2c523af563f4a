//! When a call is tried again, and how long after: pure.

use std::time::Duration;

use meetbot_types::Timestamp;

/// How often a call is tried again after its first try, unless set.
pub(crate) const MAX_RETRIES: u32 = 3;
/// The longest wait after the first try; it doubles with each.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait at all.
const CAP: Duration = Duration::from_secs(8);
/// Beyond this, a `Retry-After` is the caller's to wait for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer with this status.
    Answer(u16),
    /// No answer, or half of one.
    Broken,
}

/// Whether to try again: `Some` is how long to wait before.
///
/// `tried` counts the tries so far, from 1; `jitter` is a random number from 0 to 1.
pub(crate) fn decide(
    tried: u32,
    max_retries: u32,
    outcome: Outcome,
    retry_after: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    let may_pass = match outcome {
        Outcome::Broken | Outcome::Answer(429 | 500 | 502 | 503 | 504) => true,
        // The first call with this `Idempotency-Key` is still at work: only this conflict says when to come again.
        Outcome::Answer(409) => retry_after.is_some(),
        Outcome::Answer(_) => false,
    };
    if !may_pass || tried > max_retries {
        return None;
    }
    match retry_after {
        Some(wait) if wait > LONGEST_RETRY_AFTER => None,
        Some(wait) => Some(wait),
        None => Some(ceiling(tried).mul_f64(jitter.clamp(0.0, 1.0))),
    }
}

/// The longest wait after so many tries.
fn ceiling(tried: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX)).min(CAP)
}

/// Reads a `Retry-After`: seconds (a fraction too), or a date in any of HTTP's three forms; a date in the past is zero.
pub(crate) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = Timestamp::from(httpdate::parse_http_date(header).ok()?);
    Some(Duration::from_millis(u64::try_from(date.millis_since(now)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<u128> = (1..8)
            .map(|tried| decide(tried, 9, Outcome::Broken, None, 1.0).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!(decide(u32::MAX - 1, u32::MAX, Outcome::Broken, None, 1.0), Some(CAP));
        assert_eq!(decide(3, 9, Outcome::Broken, None, 0.0), Some(Duration::ZERO));
    }

    #[test]
    fn an_invalid_retry_after_is_none() {
        for header in ["", "soon", "-1", "nan", "inf", "1e400", "Fri, 32 Nov 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(header, Timestamp::UNIX_EPOCH), None, "{header}");
        }
    }
}
