//! The body of every error answer of the API.

use serde::{Deserialize, Serialize};

words! {
    /// The machine-readable code of an error answer.
    pub enum ErrorCode {
        /// 400: the request is not what the call takes; `issues` says where.
        InvalidInput = "invalid_input",
        /// 401: no key, or one that is not (or no longer) valid.
        Unauthorized = "unauthorized",
        /// 403: the key may not do this.
        Forbidden = "forbidden",
        /// 404: there is no such thing, or it is another consumer's.
        NotFound = "not_found",
        /// 404: no call has this path. (A path of the API whose id or name leads to nothing is `not_found`.)
        NoSuchPath = "no_such_path",
        /// 405: the path does not take this method.
        MethodNotAllowed = "method_not_allowed",
        /// 409: it collides with something else.
        Conflict = "conflict",
        /// 409: the job cannot take this in its state.
        InvalidState = "invalid_state",
        /// 410: it was good once or for a time, and is no longer.
        Gone = "gone",
        /// 413: the body is too large.
        PayloadTooLarge = "payload_too_large",
        /// 415: the body is not JSON, or is compressed.
        UnsupportedMediaType = "unsupported_media_type",
        /// 422: the `Idempotency-Key` was used with another request.
        IdempotencyMismatch = "idempotency_mismatch",
        /// 429: too many requests in a minute, or too many requests, streams or connections at the same time.
        RateLimited = "rate_limited",
        /// 429: the quota is used up.
        QuotaExceeded = "quota_exceeded",
        /// 500: something broke on the server's side.
        InternalError = "internal_error",
        /// 503: try again in a moment.
        Unavailable = "unavailable",
    }
}

impl ErrorCode {
    /// The HTTP status that goes with it; 500 for a code that is not known.
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidInput => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound | Self::NoSuchPath => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::InvalidState => 409,
            Self::Gone => 410,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::IdempotencyMismatch => 422,
            Self::RateLimited | Self::QuotaExceeded => 429,
            Self::InternalError | Self::Other(_) => 500,
            Self::Unavailable => 503,
        }
    }
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issue {
    /// Where: the names of the fields on the way to it, `["autoLeave", "afterSoloSeconds"]`.
    pub path: Vec<String>,
    /// What, for a machine: `required`, `invalid_type`, `unknown_field`, `too_long`… The set is open.
    pub code: String,
    /// What, and what would be right, for a person.
    pub message: String,
}

/// The body of an error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The machine-readable code.
    pub error: ErrorCode,
    /// What was wrong, in a sentence.
    #[serde(default)]
    pub message: String,
    /// Everything that is wrong with the request (validation errors only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issues: Option<Vec<Issue>>,
    /// The request's id, to quote when asking for help.
    #[serde(default)]
    pub request_id: Option<String>,
}
