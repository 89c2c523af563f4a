//! Error responses, all of one form.

use std::{fmt::Write as _, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use meetbot_types::{ErrorBody, ErrorCode, Issue, RequestId};

use crate::store::StoreError;

/// An error response. Each constructor is named after its code.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: ErrorCode,
    message: String,
    issues: Option<Vec<Issue>>,
    /// In seconds.
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), issues: None, retry_after: None }
    }

    pub(crate) fn invalid_input(issues: Vec<Issue>) -> Self {
        let many = if issues.len() == 1 { "one problem" } else { "several problems" };
        let mut message = format!("the request has {many}");
        for issue in &issues {
            let path = if issue.path.is_empty() { "body".to_owned() } else { issue.path.join(".") };
            let _ = write!(message, "; {path}: {}", issue.message);
        }
        Self { issues: Some(issues), ..Self::new(ErrorCode::InvalidInput, message) }
    }

    /// `invalid_input` with one issue.
    pub(crate) fn invalid(path: &str, code: &str, message: impl Into<String>) -> Self {
        let path = vec![path.to_owned()];
        Self::invalid_input(vec![Issue { path, code: code.to_owned(), message: message.into() }])
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, what)
    }

    pub(crate) fn no_such_path(path: &str) -> Self {
        Self::new(ErrorCode::NoSuchPath, format!("there is nothing at {path}"))
    }

    pub(crate) fn method_not_allowed(method: &str, path: &str) -> Self {
        Self::new(ErrorCode::MethodNotAllowed, format!("{path} does not take {method}"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    pub(crate) fn still_running() -> Self {
        let message = "a request with this Idempotency-Key is still running; ask again soon";
        Self { retry_after: Some(1), ..Self::new(ErrorCode::Conflict, message) }
    }

    pub(crate) fn invalid_state(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidState, message)
    }

    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Gone, message)
    }

    pub(crate) fn payload_too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self::new(ErrorCode::PayloadTooLarge, message)
    }

    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::UnsupportedMediaType, message)
    }

    pub(crate) fn idempotency_mismatch() -> Self {
        let message = "this Idempotency-Key was used for another request; use a new one";
        Self::new(ErrorCode::IdempotencyMismatch, message)
    }

    pub(crate) fn rate_limited(message: impl Into<String>, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let retry_after = u64::try_from(seconds).ok();
        Self { retry_after, ..Self::new(ErrorCode::RateLimited, message) }
    }

    pub(crate) fn quota_exceeded(message: impl Into<String>, wait_ms: i64) -> Self {
        let retry_after = u64::try_from(wait_ms).ok().map(|ms| ms.div_ceil(1000).max(1));
        Self { retry_after, ..Self::new(ErrorCode::QuotaExceeded, message) }
    }

    pub(crate) fn internal() -> Self {
        let message =
            "something went wrong in the server; its log says what, under this request's id";
        Self::new(ErrorCode::InternalError, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(2), ..Self::new(ErrorCode::Unavailable, message) }
    }

    /// Whether a retry of the same request may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        self.code.status() >= 500
    }

    /// The error's code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code.clone()
    }

    /// The response to the request with this id.
    pub(crate) fn answer(self, request_id: &str) -> Response<Body> {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorBody {
            error: self.code,
            message: self.message,
            issues: self.issues,
            request_id: Some(request_id.to_owned()),
        };
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed because the store is not available");
        match error {
            StoreError::Unavailable(_) => {
                Self::unavailable("the store is not available; nothing was changed, try again")
            }
            StoreError::Full => {
                Self::unavailable("the server's disk is full; nothing was changed, try again later")
            }
            StoreError::Corrupt(_) => Self::internal(),
        }
    }
}

impl IntoResponse for ApiError {
    /// The outermost layer writes the body, because only it has the request's id.
    fn into_response(self) -> Response<Body> {
        let status = self.code.status();
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// The caller's request id if it is short and plain, else a new one.
pub(crate) fn request_id(sent: Option<&HeaderValue>, fresh: impl FnOnce() -> RequestId) -> String {
    sent.and_then(|value| value.to_str().ok())
        .filter(|id| (1..=64).contains(&id.len()))
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)))
        .map_or_else(|| fresh().to_string(), str::to_owned)
}
