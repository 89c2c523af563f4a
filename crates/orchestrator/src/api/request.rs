//! The parts of a request besides its key: path parameters, body, `Idempotency-Key`.

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
use crate::{
    fields::Ignored,
    store::{IdempotencyKey, PriorRequest, StoredResponse},
};

/// The largest body, in bytes: sixteen times the largest metadata.
pub(crate) const BODY_LIMIT: usize = 256 * 1024;
/// The largest body of a bot's reports.
pub(crate) const INGEST_LIMIT: usize = 1024 * 1024;

/// Path parameters. A path that cannot be decoded is answered with `not_found`.
pub(crate) struct PathParams<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Server> for PathParams<T> {
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
            let message = "the body must be JSON, with Content-Type: application/json";
            return Err(ApiError::unsupported_media_type(message));
        }
        let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
        if let Some(coding) =
            codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            let message =
                format!("the body must not be compressed; its Content-Encoding is {coding:?}");
            return Err(ApiError::unsupported_media_type(message));
        }
        let bytes = read_body(server, request.into_body(), LIMIT).await?;
        if let Some(what) = other_than_plain_text(&bytes) {
            return Err(not_json(what));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            not_json(format_args!("it is not UTF-8, from byte {at} on"))
        })?;
        Ok(Self(text))
    }
}

/// Recognises by its first bytes a body that is not plain UTF-8 text, to explain why it cannot be read as JSON.
fn other_than_plain_text(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xef, 0xbb, 0xbf, ..] => Some(
            "it begins with a byte order mark (BOM), which JSON has not: write it as UTF-8 without",
        ),
        // JSON begins with an ASCII character, which UTF-16 and UTF-32 pad with zeros.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => {
            Some("it is UTF-16 or UTF-32, or binary; JSON is written as UTF-8")
        }
        [0x1f, 0x8b, ..] => Some("it is compressed with gzip: send it as it is"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("it is compressed with zstd: send it as it is"),
        // RFC 1950: deflate with 32 KiB of window, and a check sum of the two bytes.
        [0x78, flags, ..] if (0x7800 + u16::from(*flags)).is_multiple_of(31) => {
            Some("it is compressed with deflate (zlib): send it as it is")
        }
        _ => None,
    }
}

/// Reads a body of at most `limit` bytes within `limits.body_seconds`.
pub(super) async fn read_body(
    server: &Server,
    body: Body,
    limit: usize,
) -> Result<Vec<u8>, ApiError> {
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

/// Reads the body of a call that takes none: SDKs send `{}` or nothing. It is part of the fingerprint of an `Idempotency-Key` all the same.
pub(super) async fn read_unused_body(server: &Server, body: Body) -> Result<String, ApiError> {
    let body = read_body(server, body, BODY_LIMIT).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The error for a body that is not the expected JSON.
pub(crate) fn not_json(problem: impl std::fmt::Display) -> ApiError {
    ApiError::invalid_input(vec![Issue {
        path: Vec::new(),
        code: "invalid_json".into(),
        message: format!("the body cannot be read: {problem}"),
    }])
}

/// The `Idempotency-Key` of a request, with the fingerprint of method, path and body.
pub(crate) fn idempotency_key(
    headers: &HeaderMap,
    method: &str,
    path: &str,
    body: &str,
    ignored: &Ignored,
) -> Result<Option<IdempotencyKey>, ApiError> {
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
    let ignored = ignored.clone().into_header();
    Ok(Some(IdempotencyKey { key, fingerprint: hash.finalize().into(), ignored }))
}

/// The response to a repeated request: the stored one, or an error while the first still runs or if its fingerprint differs.
pub(crate) fn replay(prior: PriorRequest) -> Result<Response, ApiError> {
    match prior {
        PriorRequest::Answered(StoredResponse { status, body, ignored }) => {
            let mut response = json(status, body);
            response.extensions_mut().insert(Ignored::kept(ignored));
            response
                .headers_mut()
                .insert("idempotent-replayed", header::HeaderValue::from_static("true"));
            Ok(response)
        }
        PriorRequest::Running => Err(ApiError::still_running()),
        PriorRequest::Different => Err(ApiError::idempotency_mismatch()),
    }
}

/// A response with a JSON body.
pub(crate) fn json(status: u16, body: String) -> Response {
    let status = axum::http::StatusCode::from_u16(status)
        .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::other_than_plain_text;

    #[test]
    fn a_body_that_is_not_plain_text_is_recognised_by_its_first_bytes() {
        let utf16 = |little: bool| -> Vec<u8> {
            let units = "{\"a\":1}".encode_utf16();
            units
                .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
                .collect()
        };
        for (body, word) in [
            (b"\xef\xbb\xbf{}".to_vec(), "BOM"),
            (utf16(true), "UTF-16"),
            (utf16(false), "UTF-16"),
            ([&b"\xff\xfe"[..], &utf16(true)].concat(), "UTF-16"),
            ([&b"\xfe\xff"[..], &utf16(false)].concat(), "UTF-16"),
            (b"\0\0\0{\0\0\0}".to_vec(), "UTF-32"),
            (b"\x1f\x8b\x08\0".to_vec(), "gzip"),
            (b"\x28\xb5\x2f\xfd\x24".to_vec(), "zstd"),
            (b"\x78\x9c\xab\x56".to_vec(), "deflate"),
            (b"\x78\x01".to_vec(), "deflate"),
        ] {
            assert!(other_than_plain_text(&body).is_some_and(|what| what.contains(word)), "{word}");
        }
        for body in ["", "{}", " {\"\u{feff}\":1}", "x", "x=1", "\u{1f}"] {
            assert_eq!(other_than_plain_text(body.as_bytes()), None, "{body:?}");
        }
    }
}
