//! Which platforms the bots of a server can join, and what is missing for the others.

use crate::Platform;

words! {
    /// How bots get into a platform's meetings.
    pub enum Via {
        /// They speak the platform's own protocol.
        Native = "native",
        /// They open the platform's web page.
        Browser = "browser",
        /// The platform streams the meeting to them; no bot is in the room.
        Rtms = "rtms",
    }
}

/// One way into a platform's meetings. A platform may have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// The platform.
    pub platform: Platform,
    /// How bots get in.
    pub via: Via,
    /// It may break with any change that the platform makes.
    pub experimental: bool,
    /// What a bot would need and does not have: on its machine, or in the configuration.
    pub missing: Vec<Missing>,
}

impl Availability {
    /// Whether bots can get in this way.
    pub fn joinable(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Something that a bot would need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// A stable word for programs.
    pub code: String,
    /// What is missing and how an operator provides it, for people.
    pub message: String,
}

/// The platforms that bots can join, each once.
pub fn joinable(ways: &[Availability]) -> Vec<&Platform> {
    let mut platforms: Vec<&Platform> = Vec::new();
    for way in ways.iter().filter(|way| way.joinable()) {
        if !platforms.contains(&&way.platform) {
            platforms.push(&way.platform);
        }
    }
    platforms
}
