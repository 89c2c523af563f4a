//! Meeting links: which product a URL belongs to, which meeting it names, and its passcode.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::sandbox;

/// The longest meeting URL, in characters.
pub const MAX_URL_CHARACTERS: usize = 2_048;

words! {
    /// A conferencing product.
    pub enum Platform {
        /// Google Meet.
        GoogleMeet = "google-meet",
        /// Microsoft Teams.
        Teams = "teams",
        /// Zoom, by its web client.
        ZoomWeb = "zoom-web",
        /// Jitsi Meet.
        Jitsi = "jitsi",
        /// `LiveKit`.
        Livekit = "livekit",
        /// Galène.
        Galene = "galene",
        /// Janus, its `VideoRoom`.
        Janus = "janus",
        /// The sandbox: a meeting that the orchestrator plays itself.
        Sandbox = "sandbox",
    }
}

/// A meeting's URL, taken apart.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeetingLink {
    /// The product.
    pub platform: Platform,
    /// The URL, normalised; wrappers of mail programs are taken off.
    pub url: String,
    /// The meeting's id in the product: a code, a number, a room's name; for the sandbox the scenario with its query.
    pub meeting_id: String,
    /// The passcode, if the URL carries one.
    pub passcode: Option<String>,
}

/// Without the URL and the passcode, which lets whoever reads it in.
impl fmt::Debug for MeetingLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeetingLink")
            .field("platform", &self.platform)
            .field("meeting_id", &self.meeting_id)
            .finish_non_exhaustive()
    }
}

/// The text is not the link of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It is not a URL.
    #[error("not a URL: give the meeting's full link, as in https://meet.google.com/abc-defg-hij")]
    NotAUrl,
    /// It is too long.
    #[error("longer than {MAX_URL_CHARACTERS} characters")]
    TooLong,
    /// A name or password stands before the host.
    #[error("a name or password before the host is not accepted")]
    Userinfo,
    /// It is a URL of no product that is known here.
    #[error("{host} is no meeting product known here; supported are {}", supported())]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// The product is known, but the URL names no meeting.
    #[error("a {platform} URL, but it names no meeting; expected is {expected}")]
    NoMeeting {
        /// The product.
        platform: Platform,
        /// What a meeting's URL looks like.
        expected: &'static str,
    },
}

impl LinkError {
    /// The error's word in the `issues` of the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAUrl | Self::Userinfo => "invalid_url",
            Self::TooLong => "too_long",
            Self::UnknownHost { .. } => "unknown_platform",
            Self::NoMeeting { .. } => "no_meeting_in_url",
        }
    }
}

fn supported() -> String {
    Platform::ALL.iter().map(Platform::as_str).collect::<Vec<_>>().join(", ")
}

impl MeetingLink {
    /// Takes a meeting's URL apart. `platform` says whose server it is where the host does not (self-hosted Jitsi,
    /// `LiveKit`, Galène); it is not needed otherwise.
    pub fn parse(text: &str, platform: Option<&Platform>) -> Result<Self, LinkError> {
        if text.chars().count() > MAX_URL_CHARACTERS {
            return Err(LinkError::TooLong);
        }
        let mut url = Url::parse(text.trim()).map_err(|_| LinkError::NotAUrl)?;
        // Mail that was forwarded has wrappers around wrappers.
        while let Some(inner) = unwrap_mail_link(&url) {
            url = inner;
        }
        if !matches!(url.scheme(), "https" | "http" | "janus+ws" | "janus+wss") {
            return Err(LinkError::NotAUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LinkError::Userinfo);
        }
        let host =
            url.host_str().ok_or(LinkError::NotAUrl)?.trim_end_matches('.').to_ascii_lowercase();
        host_of(url.as_str()).ok_or(LinkError::NotAUrl)?;
        let found = platform_of(&url, &host);
        let platform =
            found.or_else(|| platform.cloned()).ok_or(LinkError::UnknownHost { host })?;
        let (meeting_id, passcode) = meeting_of(&platform, &url).ok_or_else(|| {
            LinkError::NoMeeting { expected: example(&platform), platform: platform.clone() }
        })?;
        Ok(Self { platform, url: url.into(), meeting_id, passcode })
    }

    /// The server's host. An address is one in whatever way it is written (`2130706433`), and whatever the scheme.
    pub fn host(&self) -> Option<Host> {
        host_of(&self.url)
    }
}

/// `Url` reads hosts as browsers do only in the schemes that browsers know.
fn host_of(url: &str) -> Option<Host> {
    let web = url.replacen("janus+ws", "http", 1);
    Url::parse(&web).ok()?.host().map(|host| host.to_owned())
}

/// The link inside a wrapper that mail programs put around it.
fn unwrap_mail_link(url: &Url) -> Option<Url> {
    let host = url.host_str()?;
    let parameter = if host.ends_with(".safelinks.protection.outlook.com") {
        "url"
    } else if matches!(host, "www.google.com" | "google.com") && url.path() == "/url" {
        "q"
    } else {
        return None;
    };
    Url::parse(&query(url, parameter)?).ok()
}

fn platform_of(url: &Url, host: &str) -> Option<Platform> {
    let under = |domain: &str| {
        host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    if url.scheme().starts_with("janus+") {
        return Some(Platform::Janus);
    }
    if host == sandbox::HOST {
        Some(Platform::Sandbox)
    } else if host == "meet.google.com" {
        Some(Platform::GoogleMeet)
    } else if under("teams.microsoft.com")
        || under("teams.live.com")
        || under("teams.microsoft.us")
        || under("teams.cloud.microsoft")
    {
        Some(Platform::Teams)
    } else if under("zoom.us") || under("zoomgov.com") || under("zoom.com") {
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

/// What a meeting's URL of the product looks like.
const fn example(platform: &Platform) -> &'static str {
    match platform {
        Platform::GoogleMeet => "https://meet.google.com/abc-defg-hij",
        Platform::Teams => {
            "https://teams.microsoft.com/l/meetup-join/19%3ameeting_…/0 or https://teams.live.com/meet/9312345678901?p=…"
        }
        Platform::ZoomWeb => "https://zoom.us/j/91234567890?pwd=…",
        Platform::Jitsi => "https://meet.jit.si/RoomName",
        Platform::Livekit => "https://meet.livekit.io/rooms/room-name",
        Platform::Galene => "https://galene.org:8443/group/name/",
        Platform::Janus => "janus+wss://host/path?room=1234",
        Platform::Sandbox => "https://sandbox.meetbot.dev/two-speakers?seconds=20",
        Platform::Other(_) => "a URL that this version does not know",
    }
}

/// The meeting's id and passcode in a URL of `platform`; `None` where the URL names no meeting.
fn meeting_of(platform: &Platform, url: &Url) -> Option<(String, Option<String>)> {
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
            ["_", "meet", id] | [id] => google_code(id).map(|code| (code, None)),
            _ => None,
        },
        Platform::Teams => match path.as_slice() {
            ["l", "meetup-join", thread, ..] if thread.starts_with("19:") => plain(thread),
            ["meet", id, ..] | ["v2", "meet", id, ..] => Some(((*id).to_owned(), query(url, "p"))),
            _ => None,
        },
        Platform::ZoomWeb => {
            let id = match path.as_slice() {
                ["wc", "join", id] | ["j" | "w" | "s" | "wc", id, ..] => {
                    let id = id.replace([' ', '-'], "");
                    ((9..=11).contains(&id.len()) && id.bytes().all(|digit| digit.is_ascii_digit()))
                        .then_some(id)?
                }
                ["my", name, ..] => format!("my/{name}"),
                _ => return None,
            };
            Some((id, query(url, "pwd")))
        }
        // 8x8.vc has the tenant before the room: `/vpaas-magic-cookie-…/room`.
        Platform::Jitsi => (!path.is_empty()).then(|| (path.join("/"), None)),
        Platform::Livekit => match path.as_slice() {
            ["rooms", room] | [room] => {
                Some(((*room).to_owned(), url.fragment().map(decode).filter(|key| !key.is_empty())))
            }
            _ => None,
        },
        Platform::Galene => match path.as_slice() {
            ["group", group @ ..] if !group.is_empty() => {
                Some((group.join("/"), query(url, "password")))
            }
            _ => None,
        },
        Platform::Janus => {
            let room = query(url, "room")?;
            Some((room, query(url, "pin")))
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

/// `abc-defg-hij`, however its dashes and case were written.
fn google_code(text: &str) -> Option<String> {
    let letters: String = text
        .chars()
        .filter(|character| *character != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    (letters.len() == 10 && letters.bytes().all(|letter| letter.is_ascii_lowercase()))
        .then(|| format!("{}-{}-{}", &letters[..3], &letters[3..7], &letters[7..]))
}

/// The first value of a query parameter; empty is none.
fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .filter(|value| !value.is_empty())
}

/// Percent-decoded; what is not UTF-8 then becomes U+FFFD.
fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_hold() {
        let vectors = xtask::spec_file::read_json("spec/vectors/meeting_links.json");
        for case in vectors["cases"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str();
            let given = text("given").map(Platform::from);
            match MeetingLink::parse(text("url").unwrap(), given.as_ref()) {
                Ok(link) => {
                    let found = (
                        link.platform.as_str(),
                        Some(link.meeting_id.as_str()),
                        link.passcode.as_deref(),
                    );
                    let expected = (
                        text("platform").unwrap_or("an error"),
                        text("meetingId"),
                        text("passcode"),
                    );
                    assert_eq!(found, expected, "{case}");
                }
                Err(error) => assert_eq!(Some(error.code()), text("error"), "{case}: {error}"),
            }
        }
    }

    #[test]
    fn a_host_is_an_address_however_it_is_written() {
        for (url, host) in [
            ("janus+ws://2130706433:8188/?room=1", "127.0.0.1"),
            ("janus+wss://0x7f.1/?room=1", "127.0.0.1"),
            ("janus+ws://Janus.Example.org/?room=1", "janus.example.org"),
            ("https://zoom.us/j/91234567890", "zoom.us"),
        ] {
            let link = MeetingLink::parse(url, None).unwrap();
            assert_eq!(link.host().unwrap().to_string(), host, "{url}");
        }
    }

    #[test]
    fn what_is_printed_of_a_link_lets_nobody_in() {
        let url = "janus+wss://janus.example.org/?room=1234&pin=s3cret";
        let printed = format!("{:?}", MeetingLink::parse(url, None).unwrap());
        assert!(printed.contains("1234") && !printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn every_products_example_is_a_meeting_of_it() {
        for platform in Platform::ALL {
            for url in example(platform).split(" or ") {
                let link = MeetingLink::parse(&url.replace('…', "x"), None)
                    .unwrap_or_else(|error| panic!("{url}: {error}"));
                assert_eq!(&link.platform, platform, "{url}");
            }
        }
    }
}
