//! The products: which product a URL belongs to, and which meeting it names.

use url::Url;

use super::{JanusLink, Platform, decode, query};
use crate::sandbox;

/// Whether a host is a domain, or one of its subdomains.
pub(super) fn is_under(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Teams in Microsoft's clouds.
pub(super) fn is_teams(host: &str) -> bool {
    let domains = [
        "teams.microsoft.com",
        "teams.live.com",
        "teams.microsoft.us",
        "teams.cloud.microsoft",
        "teams.microsoftonline.cn",
    ];
    domains.iter().any(|domain| is_under(host, domain))
}

/// The product that a host or a scheme names.
pub(super) fn platform_of(url: &Url, host: &str) -> Option<Platform> {
    if url.scheme().starts_with("janus+") { Some(Platform::Janus) } else { product_of(host) }
}

/// The product whose host it is.
pub(super) fn product_of(host: &str) -> Option<Platform> {
    let under = |domain: &str| is_under(host, domain);
    if host == sandbox::HOST {
        Some(Platform::Sandbox)
    } else if host == "meet.google.com" {
        Some(Platform::GoogleMeet)
    } else if is_teams(host) {
        Some(Platform::Teams)
    } else if ["zoom.us", "zoomgov.com", "zoom.com", "zoom.com.cn", "zoom-x.de"]
        .into_iter()
        .any(under)
    {
        Some(Platform::ZoomWeb)
    } else if under("meet.jit.si") || under("8x8.vc") {
        Some(Platform::Jitsi)
    } else if under("livekit.io") || under("livekit.cloud") {
        Some(Platform::Livekit)
    } else if under("galene.org") {
        Some(Platform::Galene)
    } else {
        None
    }
}

/// Whether the product can be self-hosted: the URLs of such servers look like those of the product's own.
pub(super) const fn has_own_servers(platform: &Platform) -> bool {
    matches!(platform, Platform::Jitsi | Platform::Livekit | Platform::Galene)
}

/// Whether a URL of the product ends with a password that people choose. Passcodes of the others are made of letters, digits, `_`, `-` and `=`, so
/// that a full stop at the end of one is of the sentence that it was copied from.
pub(super) fn ends_with_password(platform: &Platform, url: &Url) -> bool {
    let last_is = |name: &str| {
        url.fragment().is_none() && url.query_pairs().last().is_some_and(|(key, _)| key == name)
    };
    match platform {
        Platform::Livekit => url.fragment().is_some_and(|key| !key.is_empty()),
        Platform::Galene => last_is("password"),
        Platform::Janus => last_is("pin"),
        _ => false,
    }
}

/// What a meeting's URL of the product looks like.
pub(super) const fn example(platform: &Platform) -> &'static str {
    match platform {
        Platform::GoogleMeet => "https://meet.google.com/abc-defg-hij",
        Platform::Teams => {
            "https://teams.microsoft.com/l/meetup-join/19%3ameeting_…/0 or https://teams.live.com/meet/9312345678901?p=…"
        }
        Platform::ZoomWeb => "https://zoom.us/j/91234567890?pwd=…",
        Platform::Jitsi => "https://meet.jit.si/RoomName",
        Platform::Livekit => "https://meet.livekit.io/rooms/room-name",
        Platform::Galene => "https://galene.org:8443/group/name/",
        Platform::Janus => "janus+wss://host/path?room=1234 or janus+ws://host/path?room=1234",
        Platform::Sandbox => "https://sandbox.meetbot.dev/two-speakers?seconds=20",
        Platform::Other(_) => "a URL that this version does not know",
    }
}

/// The meeting's id and passcode in a URL of `platform`; `None` where the URL names no meeting.
pub(super) fn meeting_of(platform: &Platform, url: &Url) -> Option<(String, Option<String>)> {
    let path: Vec<String> = url
        .path_segments()
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(decode)
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let plain = |id: &str| Some((id.to_owned(), None));
    match platform {
        Platform::GoogleMeet => match path.as_slice() {
            ["lookup", id, ..] => plain(id),
            ["_", "meet", id] | ["_meet" | "tel", id] | [id] => {
                google_code(id).map(|code| (code, None))
            }
            _ => None,
        },
        Platform::Teams => match path.as_slice() {
            ["l", "meetup-join", thread, ..] if thread.starts_with("19:") => plain(thread),
            ["meet", id, ..] | ["v2", "meet", id, ..] => Some((number(id)?, query(url, "p"))),
            _ => None,
        },
        Platform::ZoomWeb => {
            let id = match path.as_slice() {
                ["wc", "join", id] | ["j" | "w" | "s" | "wc", id, ..] => {
                    number(id).filter(|id| (9..=11).contains(&id.len()))?
                }
                ["my", name, ..] => format!("my/{name}"),
                _ => return None,
            };
            Some((id, query(url, "pwd")))
        }
        Platform::Jitsi => {
            // 8x8.vc has the tenant before the room: `/vpaas-magic-cookie-…/room`.
            let tenants = url.host_str().is_some_and(|host| is_under(host, "8x8.vc"));
            let names_room = path.len() > usize::from(tenants) && !is_of_jitsi_itself(&path);
            names_room.then(|| (path.join("/"), None))
        }
        Platform::Livekit => {
            // At livekit.io, all else is its web site.
            let site = url.host_str().is_some_and(|host| is_under(host, "livekit.io"));
            let room = match path.as_slice() {
                ["rooms", room] => room,
                // `/custom?liveKitUrl=…` is LiveKit Meet for another server, whose room only the token names.
                [room] if !site && !matches!(*room, "rooms" | "custom" | "rtc" | "twirp") => room,
                _ => return None,
            };
            Some(((*room).to_owned(), url.fragment().map(decode).filter(|key| !key.is_empty())))
        }
        Platform::Galene => match path.as_slice() {
            // What begins with a full stop is Galène's own: `.status`, `.whip`.
            ["group", group @ ..]
                if !group.is_empty() && !group.iter().any(|part| part.starts_with('.')) =>
            {
                Some((group.join("/"), query(url, "password")))
            }
            _ => None,
        },
        Platform::Janus => {
            let link = JanusLink::read(url.as_str())?;
            Some((link.room, link.pin))
        }
        Platform::Sandbox => match path.as_slice() {
            [scenario] => {
                let parameters = url.query().map_or(String::new(), |query| format!("?{query}"));
                Some((format!("{scenario}{parameters}"), None))
            }
            _ => None,
        },
        Platform::Other(_) => None,
    }
}

/// Digits, however they were grouped.
fn number(text: &str) -> Option<String> {
    let digits = ungrouped(text);
    (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)
}

/// Without what parts groups; word processors put dashes for hyphens.
fn ungrouped(text: &str) -> String {
    let parts = |letter: char| {
        letter.is_whitespace() || matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
    };
    text.replace(parts, "")
}

/// Whether a path of a Jitsi server is of its files and interfaces, at the top or in a tenant (its nginx configuration).
fn is_of_jitsi_itself(path: &[&str]) -> bool {
    const FOLDERS: [&str; 13] = [
        "static",
        "images",
        "sounds",
        "libs",
        "css",
        "fonts",
        "lang",
        "resources",
        ".well-known",
        "colibri-ws",
        "conference-request",
        "etherpad",
        "_api",
    ];
    const FILES: [&str; 10] = [
        "config.js",
        "interface_config.js",
        "external_api.js",
        "manifest.json",
        "robots.txt",
        "favicon.ico",
        "pwa-worker.js",
        "http-bind",
        "xmpp-websocket",
        "_unlock",
    ];
    let folder = path.iter().take(path.len().saturating_sub(1)).take(2);
    folder.into_iter().any(|part| FOLDERS.contains(part))
        || path.last().is_some_and(|file| FILES.contains(file))
}

/// `abc-defg-hij`, however its dashes and case were written.
pub(super) fn google_code(text: &str) -> Option<String> {
    let letters = ungrouped(text).to_ascii_lowercase();
    (letters.len() == 10 && letters.bytes().all(|letter| letter.is_ascii_lowercase()))
        .then(|| format!("{}-{}-{}", &letters[..3], &letters[3..7], &letters[7..]))
}
