//! Meeting links: which product a URL belongs to, which meeting it names, and its passcode.

mod janus;
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
    /// It is not a URL that a meeting can have.
    #[error("not a meeting's URL: give its full link, as in https://meet.google.com/abc-defg-hij")]
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
    /// The link is inside one of a service that alone knows where it leads.
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
            Self::NotAUrl | Self::Userinfo => "invalid_url",
            Self::TooLong => "too_long",
            Self::UnknownHost { .. } | Self::HiddenLink { .. } => "unknown_platform",
            Self::NoMeeting { .. } => "no_meeting_in_url",
        }
    }
}

fn supported() -> String {
    Platform::ALL.iter().map(Platform::as_str).collect::<Vec<_>>().join(", ")
}

impl MeetingLink {
    /// Takes a meeting's URL apart, in whatever wrapper and from whatever text it was copied. `platform` says whose server it is where the
    /// host does not (Jitsi, `LiveKit` and Galène on servers of their users); it is not needed otherwise, and no other host is
    /// taken for one of a product that has its own.
    pub fn parse(text: &str, platform: Option<&Platform>) -> Result<Self, LinkError> {
        if text.chars().count() > MAX_URL_CHARACTERS {
            return Err(LinkError::TooLong);
        }
        let url = unwrapped(text)?;
        let web = matches!(url.scheme(), "https" | "http");
        if !web && !matches!(url.scheme(), "janus+ws" | "janus+wss" | "ws" | "wss") {
            return Err(LinkError::NotAUrl);
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
            // The URL of a WebSocket: of whose, nobody says.
            (None, None) if matches!(url.scheme(), "ws" | "wss") => return Err(LinkError::NotAUrl),
            (None, None) => return Err(LinkError::UnknownHost { host }),
        };
        let no_meeting =
            || LinkError::NoMeeting { expected: example(&platform), platform: platform.clone() };
        if matches!(url.scheme(), "ws" | "wss") || !(ours || products::has_own_servers(&platform)) {
            return Err(no_meeting());
        }
        let url = if products::ends_with_password(&platform, &url) {
            url
        } else {
            text::without_sentence_end(url).ok_or(LinkError::NotAUrl)?
        };
        let (meeting_id, passcode) = meeting_of(&platform, &url).ok_or_else(no_meeting)?;
        Ok(Self { platform, url: url.into(), meeting_id, passcode })
    }

    /// The server's host. An address is one in whatever way it is written (`2130706433`), and whatever the scheme.
    pub fn host(&self) -> Option<Host> {
        host_of(&self.url)
    }
}

/// The URL in a text, out of all its wrappers.
fn unwrapped(text: &str) -> Result<Url, LinkError> {
    let read = |text: &str| Url::parse(&text::copied(text)).map_err(|_| LinkError::NotAUrl);
    let mut url = read(text)?;
    for _ in 0..wrappers::MOST {
        match wrappers::unwrap(&url) {
            None => return Ok(url),
            Some(Inside::Link(link)) => url = read(&link)?,
            Some(Inside::Hidden) => break,
        }
    }
    Err(LinkError::HiddenLink { host: url.host_str().unwrap_or_default().to_owned() })
}

/// `Url` reads hosts as browsers do only in the schemes that browsers know.
fn host_of(url: &str) -> Option<Host> {
    let web = url.replacen("janus+ws", "http", 1);
    Url::parse(&web).ok()?.host().map(|host| host.to_owned())
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

    #[test]
    fn wrappers_around_wrappers_are_taken_off_and_not_without_end() {
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
