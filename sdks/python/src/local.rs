//! What needs no network.

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

/// Whether the header is the signature of these bytes with this secret.
#[pyfunction]
pub(crate) fn verify_signature(body: &[u8], header: Option<&str>, secret: &str) -> bool {
    meetbot::verify_webhook_signature(body, header, secret)
}
