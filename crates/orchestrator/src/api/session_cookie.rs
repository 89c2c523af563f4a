//! The cookie that holds a browser's session.

use std::{net::IpAddr, time::Duration};

use axum::http::{HeaderMap, HeaderValue, Method, header};
use url::{Host, Url};

use super::{Server, error::ApiError};
use crate::sessions;

/// The path of sessions.
pub(super) const PATH: &str = "/api/v1/sessions";

/// The credential with which a browser signs in.
pub(super) enum Credential {
    /// An API key.
    Key(String),
    /// The hash of a sign-in link's token.
    Link([u8; 32]),
}

/// The hash of the session in a request's cookie.
pub(super) fn shown(server: &Server, headers: &HeaderMap) -> Option<[u8; 32]> {
    token(server, headers).map(sessions::hash_of_session)
}

/// The session in a request's cookie.
pub(super) fn token<'a>(server: &Server, headers: &'a HeaderMap) -> Option<&'a str> {
    if !server.dashboard {
        return None;
    }
    let names = [Some(SECURE.to_owned()), loopback_name(headers)];
    let mut cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    let (_, token) = cookies.find(|(name, token)| {
        names.iter().flatten().any(|known| known == name) && sessions::is_shaped(token)
    })?;
    Some(token)
}

/// Whether a request with a session comes from a page of this server (`Sec-Fetch-Site`, which browsers send on HTTPS and on loopback). Without that header only safe methods pass.
pub(super) fn is_from_own_page(method: &Method, headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin") => true,
        // "none": an address that was typed, or a bookmark.
        None | Some(b"none") => method.is_safe(),
        Some(_) => false,
    }
}

/// The cookie's name. Browsers accept the prefix `__Host-` only from the host itself over HTTPS, so that no other host of its domain can set the cookie.
const SECURE: &str = "__Host-meetbot";

/// The name on loopback without TLS, where not all browsers accept the prefix. It contains the port, because all ports of a host share cookies.
fn loopback_name(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let port = url.port_or_known_default()?;
    is_loopback(&url).then(|| format!("meetbot-{port}"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The origin of this server's pages, from the `Host` of a request. It is HTTPS except on loopback.
pub(super) fn origin(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let plain = Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url));
    let scheme = if plain { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{host}/"))
        .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// The cookie for a page with this `Origin`; without an `Origin` (no browser) the `Host` decides.
pub(super) fn cookie(
    headers: &HeaderMap,
    token: &str,
    keep: Duration,
) -> Result<HeaderValue, ApiError> {
    let insecure = || {
        ApiError::forbidden(
            "a browser keeps the session's cookie only on HTTPS, or on the server's own machine: let a proxy that speaks TLS stand in front of the server",
        )
    };
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let page = match origin {
        Some(origin) => Some(Url::parse(origin).map_err(|_| insecure())?),
        None => None,
    };
    let plain = match page {
        Some(page) if page.scheme() == "https" => None,
        Some(page) if !is_loopback(&page) => return Err(insecure()),
        Some(_) | None => loopback_name(headers),
    };
    let (name, secure) = plain.map_or((SECURE.to_owned(), "; Secure"), |name| (name, ""));
    let age = keep.as_secs();
    let cookie =
        format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    cookie.parse().map_err(|_| ApiError::internal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::SESSION;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn unsafe_methods_with_a_session_require_a_page_of_this_server() {
        for (site, reads, changes) in [
            (Some("same-origin"), true, true),
            (Some("none"), true, false),
            (None, true, false),
            (Some("same-site"), false, false),
            (Some("cross-site"), false, false),
            (Some("Same-Origin"), false, false),
        ] {
            let headers =
                headers(&site.map(|site| ("sec-fetch-site", site)).into_iter().collect::<Vec<_>>());
            let methods =
                [Method::GET, Method::HEAD].map(|method| is_from_own_page(&method, &headers));
            assert_eq!(methods, [reads; 2], "{site:?}");
            for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
                assert_eq!(is_from_own_page(&method, &headers), changes, "{method} {site:?}");
            }
        }
    }

    #[test]
    fn the_cookie_is_secure_everywhere_but_on_loopback_without_tls() {
        let cookie = |pairs: &[(&'static str, &str)]| {
            let cookie = cookie(&headers(pairs), "t", SESSION).ok();
            cookie.map(|cookie| cookie.to_str().unwrap().to_owned())
        };
        let common = "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict";
        let secure = Some(format!("__Host-meetbot=t; {common}; Secure"));
        let plain = |port: u16| Some(format!("meetbot-{port}=t; {common}"));
        for (host, origin, wanted) in [
            ("meet.example.com", Some("https://meet.example.com"), secure.clone()),
            ("meet.example.com", None, secure.clone()),
            // A proxy on this machine that sends its own name as the host.
            ("127.0.0.1:3010", Some("https://meet.example.com"), secure),
            ("127.0.0.1:3010", Some("http://127.0.0.1:3010"), plain(3010)),
            ("localhost:3010", Some("http://localhost:3010"), plain(3010)),
            ("[::1]:3010", Some("http://[::1]:3010"), plain(3010)),
            ("127.0.0.1", None, plain(80)),
            ("192.168.1.5:3010", Some("http://192.168.1.5:3010"), None),
            ("localhost.evil.example:80", Some("http://localhost.evil.example"), None),
            ("127.0.0.1:3010", Some("null"), None),
            ("127.0.0.1:3010", Some(""), None),
        ] {
            let mut pairs = vec![("host", host)];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(cookie(&pairs), wanted, "{host} {origin:?}");
        }
    }
}
