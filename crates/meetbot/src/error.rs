//! [`Error`]: the one error of the SDK.

use std::{error::Error as StdError, fmt, time::Duration};

use meetbot_types::{ErrorCode, Issue};
use serde::Deserialize;

/// How much of a body an error shows in its text; [`Error::body`] has all that was read.
const SHOWN_BODY_BYTES: usize = 300;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 400 or 422: the request is not what the call takes; [`Error::issues`] says where.
    Validation,
    /// 401: the key is missing, wrong or revoked.
    Unauthorized,
    /// 403: the key may not do this.
    Forbidden,
    /// 404 `not_found`: there is no such thing, or it is another consumer's.
    NotFound,
    /// 409: the job cannot take this in its state, or it collides with something else.
    Conflict,
    /// 429: too many requests, or the quota is used up; see [`Error::retry_after`].
    RateLimit,
    /// 5xx: something broke on the server's side.
    Server,
    /// Any other answer that is not a success; a 404 of another code too: the path is not there, or the server is not meetbot's.
    UnexpectedStatus,
    /// No answer: the server cannot be reached, or the connection broke.
    Connection,
    /// No answer in time.
    Timeout,
    /// An answer that is not what the call promises; [`Error::body`] shows what came.
    Decode,
    /// An argument or a setting that cannot be used; nothing was sent.
    Configuration,
    /// A file on this machine could not be written.
    File,
}

impl ErrorKind {
    /// Its word, the same in every SDK: `validation`, `not_found`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::RateLimit => "rate_limit",
            Self::Server => "server",
            Self::UnexpectedStatus => "unexpected_status",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Decode => "decode",
            Self::Configuration => "configuration",
            Self::File => "file",
        }
    }
}

/// Why a call failed.
///
/// Its text is one line for people and never holds the API key. [`Error::kind`] is for programs.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    status: Option<u16>,
    code: Option<ErrorCode>,
    issues: Vec<Issue>,
    body: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    idempotency_key: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status; `None` when there was no answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The server's machine-readable code; `None` when the answer was not the server's.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.0.code.as_ref()
    }

    /// What went wrong, in a sentence: the server's own where it gave one.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Everything that is wrong with the request, where the server said so.
    pub fn issues(&self) -> &[Issue] {
        &self.0.issues
    }

    /// The body of the answer as it came (the API key, if it stood in it, taken out).
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// The request's id, to quote when asking for help.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the server asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How many tries the call had; 0 when nothing was sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The `Idempotency-Key` that all tries carried: the same call with the same key is never done twice.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.0.idempotency_key.as_deref()
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self.0.kind {
            ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::RateLimit => true,
            ErrorKind::Server => {
                self.0.status.is_some_and(|status| matches!(status, 500 | 502 | 503 | 504))
            }
            _ => false,
        }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            status: None,
            code: None,
            issues: Vec::new(),
            body: None,
            request_id: None,
            retry_after: None,
            attempts: 0,
            idempotency_key: None,
            source: None,
        }))
    }

    /// An argument or setting that cannot be used.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// Adds to the message what may be the reason.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.0.message = format!("{}; {hint}", self.0.message);
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_answer(
        mut self,
        status: u16,
        request_id: Option<String>,
        body: String,
    ) -> Self {
        self.0.status = Some(status);
        self.0.request_id = self.0.request_id.or(request_id);
        self.0.body = Some(body);
        self
    }

    pub(crate) fn with_call(mut self, attempts: u32, idempotency_key: Option<&str>) -> Self {
        self.0.attempts = attempts;
        self.0.idempotency_key = idempotency_key.map(ToOwned::to_owned);
        self
    }

    /// The error that an answer other than 2xx is.
    pub(crate) fn from_answer(
        status: u16,
        request_id: Option<String>,
        retry_after: Option<Duration>,
        body: String,
    ) -> Self {
        let kind = match status {
            400 | 422 => ErrorKind::Validation,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            409 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimit,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::UnexpectedStatus,
        };
        let parsed: Option<ErrorBody> = serde_json::from_str(&body).ok();
        // Any other 404 is of a path that is not there, or of a server that is not meetbot's.
        let absent = parsed.as_ref().is_some_and(|parsed| parsed.error == ErrorCode::NotFound);
        let kind = if status == 404 && absent { ErrorKind::NotFound } else { kind };
        let message = match &parsed {
            Some(ErrorBody { message: Some(message), .. }) if !message.is_empty() => {
                message.clone()
            }
            Some(parsed) => parsed.error.to_string(),
            None if body.trim().is_empty() => "the answer has no body".to_owned(),
            None => format!("the answer is not meetbot's: {}", shown(&body)),
        };
        let mut error = Self::new(kind, message);
        if let Some(parsed) = parsed {
            error.0.code = Some(parsed.error);
            let issues = parsed.issues.unwrap_or_default().into_iter();
            error.0.issues = issues
                .map(|issue| Issue {
                    path: issue.path.unwrap_or_default(),
                    code: issue.code.unwrap_or_default(),
                    message: issue.message.unwrap_or_default(),
                })
                .collect();
            error.0.request_id = parsed.request_id;
        }
        if status == 404 && !absent {
            error = error.with_hint("is the base URL right?");
        }
        error.0.retry_after = retry_after;
        error.with_answer(status, request_id, body)
    }
}

/// The body of an error answer, of which only the code is required.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    error: ErrorCode,
    message: Option<String>,
    issues: Option<Vec<ErrorIssue>>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct ErrorIssue {
    path: Option<Vec<String>>,
    code: Option<String>,
    message: Option<String>,
}

/// The beginning of a body, on one line.
pub(crate) fn shown(body: &str) -> String {
    let mut end = body.len().min(SHOWN_BODY_BYTES);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < body.len() { "…" } else { "" };
    format!("{:?}{more}", &body[..end])
}

impl fmt::Display for Error {
    /// `400 invalid_input: the message; meetingUrl: what is wrong with it (request req_…)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(status) = inner.status {
            write!(f, "{status}")?;
            if let Some(code) = &inner.code {
                write!(f, " {code}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&inner.message)?;
        // A server may have said them all in its sentence.
        let untold = inner.issues.iter().filter(|issue| !inner.message.contains(&issue.message));
        for issue in untold {
            write!(f, "; {}: {}", issue.path.join("."), issue.message)?;
        }
        match &inner.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("status", &inner.status)
            .field("code", &inner.code)
            .field("message", &inner.message)
            .field("issues", &inner.issues)
            .field("request_id", &inner.request_id)
            .field("retry_after", &inner.retry_after)
            .field("attempts", &inner.attempts)
            .field("idempotency_key", &inner.idempotency_key)
            .field("body", &inner.body)
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_where_and_which_request() {
        let body = r#"{"error":"invalid_input","message":"the body is not a job","issues":[{"path":["autoLeave","afterSoloSeconds"],"code":"too_small","message":"must be at least 1"}],"requestId":"req_1"}"#;
        let error = Error::from_answer(400, None, None, body.to_owned());
        assert_eq!(
            error.to_string(),
            "400 invalid_input: the body is not a job; autoLeave.afterSoloSeconds: must be at least 1 (request req_1)"
        );
    }

    #[test]
    fn a_proxys_page_is_shown_but_not_whole() {
        let page = "<html>é".repeat(1_000);
        let error = Error::from_answer(502, Some("req_9".to_owned()), None, page.clone());
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, None));
        assert!(error.to_string().len() < 600 && error.to_string().contains("<html>"));
        assert_eq!((error.body(), error.request_id()), (Some(page.as_str()), Some("req_9")));
    }
}
