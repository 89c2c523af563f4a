//! Answers kept for `Idempotency-Key`: for how long, and what a request gets that comes again. Pure.

use std::time::Duration;

use meetbot_types::Timestamp;

/// How long an answer is kept.
pub(crate) const KEEP: Duration = Duration::from_hours(24);
/// How long a request may be on its way to its last answer, before its first one is given to those who ask again.
const RUNNING: Duration = Duration::from_secs(10);

/// A request with an `Idempotency-Key`.
#[derive(Debug, Clone)]
pub struct Once {
    /// The key.
    pub key: String,
    /// The SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// The names that were passed over in it, as the answer's header has them.
    pub ignored: String,
}

/// An answer kept for its `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The names that were passed over in the request, as the header has them.
    pub ignored: String,
}

/// What an `Idempotency-Key` was used for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// The same request; here is its answer.
    Answered(KeptAnswer),
    /// The same request, which is not answered yet.
    Running,
    /// Another request.
    Different,
}

impl Once {
    /// An answer to it, as it is kept.
    pub(crate) fn answer(&self, status: u16, body: String) -> KeptAnswer {
        KeptAnswer { status, body, ignored: self.ignored.clone() }
    }
}

/// Answers of then or before are forgotten.
pub(crate) fn oldest(now: Timestamp) -> Timestamp {
    now - KEEP
}

/// Until when a request counts as not answered yet, in milliseconds; 0 where this is its last answer.
pub(crate) fn running_until(is_last: bool, now: Timestamp) -> i64 {
    if is_last { 0 } else { (now + RUNNING).as_millis() }
}

/// An answer as it is stored.
pub(crate) struct Stored {
    /// The SHA-256 of what was asked.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) answer: KeptAnswer,
    /// As [`running_until`] has it.
    pub(crate) running_until: i64,
}

impl Stored {
    /// What it is to a request with the same key.
    pub(crate) fn to(self, once: &Once, now: Timestamp) -> Earlier {
        if self.fingerprint != once.fingerprint {
            Earlier::Different
        } else if self.running_until > now.as_millis() {
            Earlier::Running
        } else {
            Earlier::Answered(self.answer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_comes_again_gets_the_last_answer_or_the_first_one_after_ten_seconds() {
        let once = Once { key: "a".into(), fingerprint: [1; 32], ignored: "x".into() };
        let at = |seconds| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let answer = once.answer(202, "{}".into());
        assert_eq!(answer.ignored, "x");
        for (is_last, asked, expected) in [
            (true, 5, Earlier::Answered(answer.clone())),
            (false, 14, Earlier::Running),
            (false, 15, Earlier::Answered(answer.clone())),
        ] {
            let running_until = running_until(is_last, at(5));
            let stored = || Stored { fingerprint: [1; 32], answer: answer.clone(), running_until };
            assert_eq!(stored().to(&once, at(asked)), expected, "{is_last} {asked}");
            let other = Once { fingerprint: [2; 32], ..once.clone() };
            assert_eq!(stored().to(&other, at(asked)), Earlier::Different);
        }
        assert_eq!(oldest(at(86_401)), at(1));
    }
}
