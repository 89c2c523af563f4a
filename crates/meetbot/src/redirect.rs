//! Redirects. Only redirects of artifacts are followed, whose bytes may have a signed URL elsewhere, and never with the key. Any other is an error.

use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCEPT, LOCATION, RANGE, USER_AGENT},
};
use url::Url;

/// How many redirects one try follows.
pub(crate) const MAX_REDIRECTS: u32 = 5;

/// The headers that are sent to the target: neither the key nor headers that the caller adds for the server.
const SENT_TO_TARGET: [HeaderName; 3] = [ACCEPT, RANGE, USER_AGENT];

/// Whether redirects of this call are followed.
pub(crate) fn are_followed(method: &Method, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    method == Method::GET && matches!(segments[..], ["", "api", "v1", "jobs", _, "artifacts", _])
}

/// The target of a redirect, without its query, which may be a signature; `None` for a response that is no redirect.
pub(crate) fn shown_target(status: u16, headers: &HeaderMap) -> Option<&str> {
    location(status, headers)?.split('?').next()
}

/// The URL that an answer from `from` redirects to; `None` where that cannot be followed.
pub(crate) fn target(from: &Url, status: u16, headers: &HeaderMap) -> Option<Url> {
    let next = from.join(location(status, headers)?).ok()?;
    // An upgrade to https:// is not followed: without the key it would be refused as unauthorized, while the cause is a wrong base URL.
    let is_upgrade = (from.scheme(), next.scheme()) == ("http", "https")
        && from.host() == next.host()
        && from.path() == next.path();
    let is_plain = matches!(next.scheme(), "http" | "https")
        && next.username().is_empty()
        && next.password().is_none();
    (is_plain && !is_upgrade).then_some(next)
}

/// The headers for the target of a redirect.
pub(crate) fn headers_for_target(headers: &HeaderMap) -> HeaderMap {
    let headers = SENT_TO_TARGET.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.clone();
        Some((name, value))
    });
    headers.collect()
}

fn location(status: u16, headers: &HeaderMap) -> Option<&str> {
    let target = headers.get(LOCATION)?.to_str().ok()?;
    ((300..400).contains(&status) && !target.is_empty()).then_some(target)
}
