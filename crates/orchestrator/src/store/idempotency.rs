//! Responses stored under an `Idempotency-Key`: for how long, and what a repeated request receives. Pure.

use std::time::Duration;

use meetbot_types::Timestamp;

/// How long a response is stored.
pub(crate) const RETENTION: Duration = Duration::from_hours(24);
/// How long a request may take to its final response. After that a repeated request receives the first one.
const RUNNING: Duration = Duration::from_secs(10);

/// The `Idempotency-Key` of a request, with a fingerprint of the request.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The value of the header.
    pub key: String,
    /// The SHA-256 of method, path and body.
    pub fingerprint: [u8; 32],
    /// The names of ignored fields of the request, in the form of the response's header.
    pub ignored: String,
}

/// A response stored under an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The names of ignored fields of the request, in the form of the response's header.
    pub ignored: String,
}

/// An earlier request with the same `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriorRequest {
    /// The same request, with its response.
    Answered(StoredResponse),
    /// The same request, which has no final response yet.
    Running,
    /// Another request.
    Different,
}

impl IdempotencyKey {
    /// The response to store under this key.
    pub(crate) fn response(&self, status: u16, body: String) -> StoredResponse {
        StoredResponse { status, body, ignored: self.ignored.clone() }
    }
}

/// Responses stored at this moment or before are expired.
pub(crate) fn expired_before(now: Timestamp) -> Timestamp {
    now - RETENTION
}

/// Until when a request counts as running, in milliseconds since the epoch; 0 where its response is final.
pub(crate) fn running_until(is_final: bool, now: Timestamp) -> i64 {
    if is_final { 0 } else { (now + RUNNING).as_millis() }
}

/// A row of the table `answers`.
pub(crate) struct IdempotencyRecord {
    /// As in [`IdempotencyKey`].
    pub(crate) fingerprint: [u8; 32],
    pub(crate) response: StoredResponse,
    /// The result of [`running_until`].
    pub(crate) running_until: i64,
}

impl IdempotencyRecord {
    /// Compares this record with a request that has the same key.
    pub(crate) fn compare(self, idempotency_key: &IdempotencyKey, now: Timestamp) -> PriorRequest {
        if self.fingerprint != idempotency_key.fingerprint {
            PriorRequest::Different
        } else if self.running_until > now.as_millis() {
            PriorRequest::Running
        } else {
            PriorRequest::Answered(self.response)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_receives_the_final_response_or_after_ten_seconds_the_first_one() {
        let idempotency_key =
            IdempotencyKey { key: "a".into(), fingerprint: [1; 32], ignored: "x".into() };
        let at = |seconds| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let response = idempotency_key.response(202, "{}".into());
        assert_eq!(response.ignored, "x");
        for (is_final, asked, expected) in [
            (true, 5, PriorRequest::Answered(response.clone())),
            (false, 14, PriorRequest::Running),
            (false, 15, PriorRequest::Answered(response.clone())),
        ] {
            let running_until = running_until(is_final, at(5));
            let record = || IdempotencyRecord {
                fingerprint: [1; 32],
                response: response.clone(),
                running_until,
            };
            assert_eq!(
                record().compare(&idempotency_key, at(asked)),
                expected,
                "{is_final} {asked}"
            );
            let other = IdempotencyKey { fingerprint: [2; 32], ..idempotency_key.clone() };
            assert_eq!(record().compare(&other, at(asked)), PriorRequest::Different);
        }
        assert_eq!(expired_before(at(86_401)), at(1));
    }
}
