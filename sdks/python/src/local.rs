//! Functions that need no network.

use meetbot::{Timestamp, webhook};
use pyo3::prelude::*;

use crate::convert::{configuration, exception};

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

/// Whether one of the signatures in the header of Standard Webhooks is right; the caller checks the age of the timestamp.
#[pyfunction]
pub(crate) fn verify_standard(
    py: Python<'_>,
    id: &str,
    timestamp: &str,
    body: &[u8],
    header: &str,
    secret: &str,
) -> PyResult<bool> {
    let found = webhook::verify_standard(id, timestamp, body, header, secret);
    found.map_err(|error| configuration(py, &error.to_string()))
}

/// Fails for a text that cannot be a webhook secret.
#[pyfunction]
pub(crate) fn check_secret(py: Python<'_>, secret: &str) -> PyResult<()> {
    webhook::check_secret(secret).map_err(|error| configuration(py, &error.to_string()))
}

/// The value of `X-Meetbot-Signature`.
#[pyfunction]
pub(crate) fn sign(body: &[u8], secret: &str) -> String {
    webhook::sign(body, secret)
}

/// A signature of Standard Webhooks.
#[pyfunction]
pub(crate) fn sign_standard(
    py: Python<'_>,
    id: &str,
    seconds: i64,
    body: &[u8],
    secret: &str,
) -> PyResult<String> {
    let sent_at = seconds.checked_mul(1_000).map(Timestamp::from_millis);
    let sent_at = sent_at.ok_or_else(|| configuration(py, "the time is too far away"))?;
    let signature = webhook::sign_standard(id, sent_at, body, secret);
    signature.map_err(|error| configuration(py, &error.to_string()))
}

/// Whether the header is the signature of these bytes with this secret.
#[pyfunction]
pub(crate) fn verify_signature(
    py: Python<'_>,
    body: &[u8],
    header: Option<&str>,
    secret: &str,
) -> PyResult<bool> {
    let found = meetbot::verify_webhook_signature(body, header, secret);
    found.map_err(|error| configuration(py, &error.to_string()))
}
