//! What needs no network.

use meetbot::{Timestamp, webhook};
use pyo3::prelude::*;

use crate::convert::exception;

/// The path of a call, each segment escaped.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "Python hands over its arguments")]
pub(crate) fn api_path(
    py: Python<'_>,
    segments: Vec<String>,
    query: Vec<(String, String)>,
) -> PyResult<String> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query: Vec<(&str, &str)> =
        query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    meetbot::api_path(&segments, &query).map_err(|error| exception(py, &error))
}

/// Whether one of the signatures in the header of Standard Webhooks is right; the age of the timestamp is the caller's to judge.
#[pyfunction]
pub(crate) fn verify_standard(
    id: &str,
    timestamp: &str,
    body: &[u8],
    header: &str,
    secret: &str,
) -> bool {
    webhook::verify_standard(id, timestamp, body, header, secret)
}

/// The value of `X-Meetbot-Signature`.
#[pyfunction]
pub(crate) fn sign(body: &[u8], secret: &str) -> String {
    webhook::sign(body, secret)
}

/// A signature of Standard Webhooks; `None` for a secret that is not `whsec_` and base64.
#[pyfunction]
pub(crate) fn sign_standard(id: &str, seconds: i64, body: &[u8], secret: &str) -> Option<String> {
    let sent_at = Timestamp::from_millis(seconds.checked_mul(1_000)?);
    webhook::sign_standard(id, sent_at, body, secret)
}

/// Whether the header is the signature of these bytes with this secret.
#[pyfunction]
pub(crate) fn verify_signature(body: &[u8], header: Option<&str>, secret: &str) -> bool {
    meetbot::verify_webhook_signature(body, header, secret)
}
