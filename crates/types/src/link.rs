//! Meeting links: which product a URL belongs to, which meeting it names, and its passcode.

mod found;
mod janus;
mod plain;
mod products;
mod text;
mod wrappers;

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use self::janus::JanusLink;
use self::{
    products::{example, meeting_of, platform_of},
    wrappers::Inside,
};

/// The longest meeting URL, in characters.
pub const MAX_URL_CHARACTERS: usize = 2_048;
/// How often an id may be encoded once more than it has to be.
const MOST_ENCODINGS: usize = 3;

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
    /// The URL, normalised: without the links of mail programs and the like around it, and without what stood around it in a text.
    pub url: String,
    /// The meeting's id in the product: a code, a number, a room's name; for the sandbox the scenario with its query.
    pub meeting_id: String,
    /// The passcode, if the URL carries one.
    pub passcode: Option<String>,
}

/// Shows neither the URL nor the passcode, which would give access to the meeting.
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
    /// It is not a URL that a meeting can have.
    #[error("not a meeting's URL: give its full link, as in https://meet.google.com/abc-defg-hij")]
    NotAUrl,
    /// A link of Janus without the URL of a WebSocket.
    #[error(
        "a meeting's URL on a Janus server begins with janus+wss:// or janus+ws:// and the address of the server's WebSocket, as in {}",
        example(&Platform::Janus)
    )]
    NoWebSocket,
    /// It is too long.
    #[error("longer than {MAX_URL_CHARACTERS} characters")]
    TooLong,
    /// A name or password stands before the host.
    #[error("a name or password before the host is not accepted")]
    Userinfo,
    /// It has the links of several meetings.
    #[error(
        "there are links of several meetings in it, as at {first} and at {second}: give the link of one of them alone"
    )]
    Several {
        /// The host of the first.
        first: String,
        /// The host of another one.
        second: String,
    },
    /// It is a URL of no product that is known here.
    #[error("{host} is no meeting product known here; supported are {}", supported())]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// The link is a short link of a service; only that service can resolve it.
    #[error(
        "{host} does not say in its links where they lead: open it in a browser, and give the meeting's link that comes up"
    )]
    HiddenLink {
        /// The service's host.
        host: String,
    },
    /// The product is known, but the URL names no meeting of it.
    #[error("this URL names no meeting of {platform}; expected is {expected}")]
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
            Self::NotAUrl | Self::NoWebSocket | Self::Userinfo => "invalid_url",
            Self::TooLong => "too_long",
            Self::Several { .. } => "several_meetings",
            Self::UnknownHost { .. } | Self::HiddenLink { .. } => "unknown_platform",
            Self::NoMeeting { .. } => "no_meeting_in_url",
        }
    }

    /// If a text has several links and none is of a meeting, the error names the most likely one.
    fn says_more_than(&self, other: &Self) -> bool {
        let rank = |error: &Self| match error {
            Self::NotAUrl | Self::TooLong => 0,
            Self::UnknownHost { .. } => 1,
            Self::HiddenLink { .. } => 2,
            Self::NoWebSocket | Self::Userinfo | Self::Several { .. } => 3,
            Self::NoMeeting { .. } => 4,
        };
        rank(self) > rank(other)
    }
}

fn supported() -> String {
    Platform::ALL.iter().map(Platform::as_str).collect::<Vec<_>>().join(", ")
}

impl MeetingLink {
    /// Takes a meeting's URL apart, in whatever wrapper and from whatever text it was copied; a text with the links of several meetings is refused. `platform` says whose
    /// server it is where the host does not (Jitsi, `LiveKit` and Galène on servers of their users); it is not needed otherwise, and no other host is
    /// taken for one of a product that has its own.
    pub fn parse(text: &str, platform: Option<&Platform>) -> Result<Self, LinkError> {
        if text.chars().nth(MAX_URL_CHARACTERS).is_some() {
            return Err(LinkError::TooLong);
        }
        let mut text = plain::plain(text);
        if found::spots(&text).is_empty() {
            // Lines may be broken anywhere (RFC 5545, 3.1).
            text = text.replace("\n ", "").replace("\n\t", "").replace('\n', "");
        }
        let (mut found, mut error) = (None::<Self>, LinkError::NotAUrl);
        for spot in found::spots(&text) {
            for reading in text::readings(&spot) {
                match Self::read(&reading, platform) {
                    Ok(link) => {
                        found = Some(match found {
                            Some(first) => first.or(link)?,
                            None => link,
                        });
                        break;
                    }
                    Err(other) if other.says_more_than(&error) => error = other,
                    Err(_) => {}
                }
            }
        }
        found.ok_or(error)
    }

    fn read(link: &str, platform: Option<&Platform>) -> Result<Self, LinkError> {
        let mut url = unwrapped(link)?;
        let web = matches!(url.scheme(), "https" | "http");
        if !web && !matches!(url.scheme(), "janus+ws" | "janus+wss" | "ws" | "wss") {
            let of_janus = url.scheme().starts_with("janus+");
            return Err(if of_janus { LinkError::NoWebSocket } else { LinkError::NotAUrl });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LinkError::Userinfo);
        }
        let host =
            url.host_str().ok_or(LinkError::NotAUrl)?.trim_end_matches('.').to_ascii_lowercase();
        host_of(url.as_str()).ok_or(LinkError::NotAUrl)?;
        let found = platform_of(&url, &host);
        let ours = found.is_some();
        let platform = match (found, platform) {
            (Some(found), _) => found,
            (None, Some(given)) => given.clone(),
            // The URL of a WebSocket, without a product.
            (None, None) if matches!(url.scheme(), "ws" | "wss") => return Err(LinkError::NotAUrl),
            (None, None) => return Err(LinkError::UnknownHost { host }),
        };
        if matches!(url.scheme(), "ws" | "wss") || !(ours || products::has_own_servers(&platform)) {
            return Err(no_meeting(platform));
        }
        // Where no meeting has such an id, it may be encoded more than once.
        for _ in 0..=MOST_ENCODINGS {
            if !products::ends_with_password(&platform, &url) {
                url = text::without_sentence_end(url).ok_or(LinkError::NotAUrl)?;
            }
            if let Some((meeting_id, passcode)) = meeting_of(&platform, &url) {
                return Ok(Self { platform, url: url.into(), meeting_id, passcode });
            }
            if !url.as_str().contains("%25") {
                break;
            }
            let decoded = text::inner(&url.as_str().replace("%25", "%"));
            let decoded = decoded.and_then(|link| Url::parse(&link).ok());
            url = decoded.ok_or_else(|| no_meeting(platform.clone()))?;
        }
        Err(no_meeting(platform))
    }

    /// This link, or the other one where that says more of the same meeting.
    fn or(self, other: Self) -> Result<Self, LinkError> {
        // Meetings of these have one id, whichever of their hosts the link names.
        let everywhere = matches!(self.platform, Platform::GoogleMeet | Platform::ZoomWeb);
        let same = self.platform == other.platform
            && self.meeting_id == other.meeting_id
            && (everywhere || self.host() == other.host());
        match (&self.passcode, &other.passcode) {
            (ours, theirs) if same && (ours == theirs || theirs.is_none()) => Ok(self),
            (None, Some(_)) if same => Ok(other),
            _ => {
                let host = |link: &Self| link.host().map(|host| host.to_string());
                let (first, second) = (host(&self), host(&other));
                Err(LinkError::Several {
                    first: first.unwrap_or_default(),
                    second: second.unwrap_or_default(),
                })
            }
        }
    }

    /// The server's host. An address is one in whatever way it is written (`2130706433`), and whatever the scheme.
    pub fn host(&self) -> Option<Host> {
        host_of(&self.url)
    }
}

fn no_meeting(platform: Platform) -> LinkError {
    LinkError::NoMeeting { expected: example(&platform), platform }
}

/// The URL of a link, out of all its wrappers.
fn unwrapped(link: &str) -> Result<Url, LinkError> {
    let read = |link: &str| Url::parse(link).map_err(|_| LinkError::NotAUrl);
    let mut url = read(link)?;
    for _ in 0..wrappers::MOST {
        match wrappers::unwrap(&url) {
            None => return Ok(url),
            Some(Inside::Link(link)) => {
                url = read(&text::inner(&link).ok_or(LinkError::NotAUrl)?)?;
            }
            Some(Inside::Hidden) => break,
        }
    }
    Err(LinkError::HiddenLink { host: url.host_str().unwrap_or_default().to_owned() })
}

/// `Url` reads hosts as browsers do only in the schemes that browsers know.
fn host_of(url: &str) -> Option<Host> {
    let web = url.replacen("janus+ws", "http", 1);
    // The standard of URLs lets a name hold quotes and braces; no server has one.
    let of_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    let host = Url::parse(&web).ok()?.host()?.to_owned();
    let named = !matches!(&host, Host::Domain(name) if !name.chars().all(of_name));
    named.then_some(host)
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
                    assert_eq!(text("link").unwrap_or(&link.url), link.url, "{case}");
                }
                Err(error) => assert_eq!(Some(error.code()), text("error"), "{case}: {error}"),
            }
        }
    }

    #[test]
    fn a_host_in_any_spelling_of_an_address_is_an_address() {
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
    fn a_printed_link_gives_no_access() {
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

    #[test]
    fn nested_wrappers_are_removed_up_to_a_limit() {
        let wrap = |link: &str, times: usize| {
            (0..times).fold(link.to_owned(), |link, _| {
                let mut url = Url::parse("https://slack-redir.net/link").unwrap();
                url.query_pairs_mut().append_pair("url", &link);
                url.into()
            })
        };
        let link = "https://zoom.us/j/91234567890?pwd=ab";
        let found = MeetingLink::parse(&wrap(link, 5), None).unwrap();
        assert_eq!((found.url.as_str(), found.passcode.as_deref()), (link, Some("ab")));
        let endless = wrap("https://x.us", wrappers::MOST + 1);
        let error = MeetingLink::parse(&endless, Some(&Platform::Jitsi)).unwrap_err();
        assert!(matches!(error, LinkError::HiddenLink { .. }), "{error}");
    }

    #[test]
    fn a_janus_link_without_a_websocket_is_refused_with_an_example() {
        for url in ["janus+https://h.example/janus?room=1", "Room: JANUS+http://h.example/?room=1"]
        {
            for platform in [None, Some(Platform::Janus)] {
                let error = MeetingLink::parse(url, platform.as_ref()).unwrap_err().to_string();
                assert!(
                    error.contains("WebSocket, as in janus+wss://host/path?room=1234"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn links_of_several_meetings_are_refused_with_their_hosts_and_without_passcodes() {
        let text = "https://zoom.us/j/91234567890?pwd=s3cret or https://meet.jit.si/Foo";
        let error = MeetingLink::parse(text, None).unwrap_err().to_string();
        assert!(error.contains("zoom.us") && error.contains("meet.jit.si"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_text_may_be_as_long_as_a_url_and_hold_any_number_of_links() {
        let many = "https://a.b ".repeat(165) + "https://zoom.us/j/91234567890";
        assert_eq!(MeetingLink::parse(&many, None).unwrap().meeting_id, "91234567890");
        let long = "x".repeat(1 << 20) + " https://zoom.us/j/91234567890";
        assert_eq!(MeetingLink::parse(&long, None), Err(LinkError::TooLong));
    }

    #[test]
    fn a_refusal_names_the_form_that_the_named_product_expects() {
        for (url, platform, form) in [
            ("https://h.example/janus?room=1", Platform::Janus, "janus+wss://host/path?room=1234"),
            ("wss://h.example/?room=1", Platform::Janus, "janus+wss://host/path?room=1234"),
            ("wss://x.example", Platform::Livekit, "https://meet.livekit.io/rooms/room-name"),
            ("https://h.example/two-speakers", Platform::Sandbox, "https://sandbox.meetbot.dev/"),
            ("https://h.example/abc-defg-hij", Platform::GoogleMeet, "https://meet.google.com/"),
        ] {
            let error = MeetingLink::parse(url, Some(&platform)).unwrap_err();
            assert_eq!(error.code(), "no_meeting_in_url", "{url}");
            assert!(error.to_string().contains(form), "{url}: {error}");
        }
    }
}
