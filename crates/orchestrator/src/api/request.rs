//! What every request brings beside its key: the names in its path, a body, and perhaps an `Idempotency-Key`.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use meetbot_types::Issue;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{Server, error::ApiError};
use crate::store::{Earlier, KeptAnswer, Once};

/// The largest body, in bytes: sixteen times the largest metadata.
pub(crate) const BODY_LIMIT: usize = 256 * 1024;
/// The largest body of a bot's reports.
pub(crate) const INGEST_LIMIT: usize = 1024 * 1024;

/// The names in a path. One that is not even a text names nothing.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Server> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, ApiError> {
        let named = Path::from_request_parts(parts, server).await;
        named
            .map(|Path(names)| Self(names))
            .map_err(|_| ApiError::not_found("the path cannot be read"))
    }
}

/// A request with a JSON body, read as text.
pub(crate) struct JsonBody<const LIMIT: usize>(pub(crate) String);

impl<const LIMIT: usize> FromRequest<Server> for JsonBody<LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, server: &Server) -> Result<Self, ApiError> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|media| {
                let media = media.trim().to_ascii_lowercase();
                media == "application/json" || media.ends_with("+json")
            });
        if !json {
            return Err(ApiError::unsupported_media_type());
        }
        let bytes = read_body(server, request.into_body(), LIMIT).await?;
        let text = String::from_utf8(bytes).map_err(|_| not_json("it is not UTF-8"))?;
        Ok(Self(text))
    }
}

/// Reads a body of at most `limit` bytes, for as long as the settings say.
async fn read_body(server: &Server, body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let patience = server.limits.body;
    match tokio::time::timeout(patience, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::payload_too_large(limit)),
        Ok(Err(_)) => Err(not_json("it ended early")),
        Err(_) => {
            server.metrics.refused("body_seconds");
            Err(not_json(format_args!("it did not come within {} s", patience.as_secs())))
        }
    }
}

/// Reads a body that says nothing: SDKs send `{}` or none at all. It counts for an `Idempotency-Key` all the same.
pub(super) async fn read_idle_body(server: &Server, body: Body) -> Result<String, ApiError> {
    let body = read_body(server, body, BODY_LIMIT).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The body is not the JSON that is wanted.
pub(crate) fn not_json(problem: impl std::fmt::Display) -> ApiError {
    ApiError::invalid_input(vec![Issue {
        path: Vec::new(),
        code: "invalid_json".into(),
        message: format!("the body cannot be read: {problem}"),
    }])
}

/// The `Idempotency-Key` of a request, with what was asked under it.
pub(crate) fn once(
    headers: &HeaderMap,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Option<Once>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && !key.contains('\t'))
        .ok_or_else(|| {
            let message = "must be 1 to 255 printable characters";
            ApiError::invalid("Idempotency-Key", "invalid_header", message)
        })?
        .to_owned();
    let mut hash = Sha256::new();
    for part in [method, path, body] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    Ok(Some(Once { key, fingerprint: hash.finalize().into() }))
}

/// Answers a request that came before.
pub(crate) fn again(earlier: Earlier) -> Result<Response, ApiError> {
    match earlier {
        Earlier::Answered(KeptAnswer { status, body }) => {
            let mut response = json(status, body);
            response
                .headers_mut()
                .insert("idempotent-replayed", header::HeaderValue::from_static("true"));
            Ok(response)
        }
        Earlier::Running => Err(ApiError::still_running()),
        Earlier::Different => Err(ApiError::idempotency_mismatch()),
    }
}

/// An answer of JSON text.
pub(crate) fn json(status: u16, body: String) -> Response {
    let status = axum::http::StatusCode::from_u16(status)
        .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
