//! Redirects. Only that of an artifact is followed, since its bytes may lie behind a signed URL elsewhere, and never with the key. Any other is an error.

use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCEPT, LOCATION, RANGE, USER_AGENT},
};
use url::Url;

/// How many redirects one try follows.
pub(crate) const MAX_REDIRECTS: u32 = 5;

/// The headers that go along: neither the key nor what the caller adds for the server.
const KEPT: [HeaderName; 3] = [ACCEPT, RANGE, USER_AGENT];

/// Whether redirects of this call are followed.
pub(crate) fn are_followed(method: &Method, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    method == Method::GET && matches!(segments[..], ["", "api", "v1", "jobs", _, "artifacts", _])
}

/// The target of a redirect as the answer gives it, without its query, which may be a signature; `None` for an answer that is no redirect.
pub(crate) fn shown_target(status: u16, headers: &HeaderMap) -> Option<&str> {
    location(status, headers)?.split('?').next()
}

/// The URL that an answer from `from` redirects to; `None` where that cannot be followed.
pub(crate) fn target(from: &Url, status: u16, headers: &HeaderMap) -> Option<Url> {
    let next = from.join(location(status, headers)?).ok()?;
    // The same place over TLS refuses a request without the key, with words that mislead: the base URL is wrong.
    let is_upgrade = (from.scheme(), next.scheme()) == ("http", "https")
        && from.host() == next.host()
        && from.path() == next.path();
    let is_plain = matches!(next.scheme(), "http" | "https")
        && next.username().is_empty()
        && next.password().is_none();
    (is_plain && !is_upgrade).then_some(next)
}

/// The headers for the target of a redirect.
pub(crate) fn kept(headers: &HeaderMap) -> HeaderMap {
    let kept = KEPT.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.clone();
        Some((name, value))
    });
    kept.collect()
}

fn location(status: u16, headers: &HeaderMap) -> Option<&str> {
    let target = headers.get(LOCATION)?.to_str().ok()?;
    ((300..400).contains(&status) && !target.is_empty()).then_some(target)
}
