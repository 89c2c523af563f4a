//! What the imitation has seen of the bot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Dialog, Screen};

/// What was seen of the bot so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// How often the meeting's page was loaded.
    pub visits: u32,
    /// What the page shows.
    pub screen: Option<Screen>,
    /// The name under which the bot knocked.
    pub name: Option<String>,
    /// How often it knocked.
    pub knocks: u32,
    /// Whether microphone and camera were on at the last knock.
    pub devices_at_knock: Option<Devices>,
    /// Whether microphone and camera are on now.
    pub devices: Option<Devices>,
    /// Every click, in order.
    pub clicks: Vec<Click>,
    /// What a person's browser would not have done.
    pub faults: Vec<Fault>,
    /// Sessions of media that the page has opened.
    pub sessions: u32,
    /// Whether media of the last session and `collections` are up.
    pub connected: bool,
    /// The bot is in the meeting, its media and `collections` are up.
    pub joined: bool,
    /// Packets that were sent on the lanes, by person.
    pub sent: BTreeMap<String, u64>,
    /// Packets of people who spoke and were on no lane.
    pub unsent: BTreeMap<String, u64>,
    /// Pictures that were sent, by the person whose camera it is.
    pub pictures: BTreeMap<String, u64>,
    /// Pictures that were sent, by the person whose screen it is.
    pub screen_pictures: BTreeMap<String, u64>,
    /// Whether the page takes video; it does not where its settings say audio only.
    pub takes_video: Option<bool>,
    /// Packets of audio that came from the bot.
    pub heard: u64,
    /// The loudest of them, in dBov; `None` when none named its level.
    pub loudest_heard_dbov: Option<i8>,
    /// Answers of `SyncMeetingSpaceCollections`.
    pub syncs: u32,
    /// What the bot wrote in the chat.
    pub written: Vec<String>,
    /// Dialogs that were accepted.
    pub accepted: Vec<Dialog>,
    /// Dialogs that were closed in another way.
    pub closed: Vec<Dialog>,
    /// How the page takes its sound: `native` or `neteq`.
    pub sound: Option<String>,
    /// Encoded frames that the page's own worker has read.
    pub worker_frames: u64,
    /// The labels of the data channels that the bot's page has opened.
    pub channels: Vec<String>,
    /// What came in them, by their labels.
    pub messages: Vec<(String, Vec<u8>)>,
    /// The bot left by the button.
    pub left: bool,
    /// Requests that led nowhere, by path, and reports of the page that could not be read.
    pub strays: Vec<String>,
}

/// Whether devices are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// The microphone.
    pub microphone: bool,
    /// The camera.
    pub camera: bool,
}

/// A click on the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Click {
    /// What was clicked, by its accessible name.
    pub name: String,
    /// Whether the browser made it, not a script.
    pub trusted: bool,
    /// Where, in pixels of the page's view.
    pub x: f64,
    /// See `x`.
    pub y: f64,
    /// The place lies inside of what was clicked.
    pub inside: bool,
    /// Movements of the pointer since the click before.
    pub moves: u32,
}

/// Something that a person's browser would not have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `navigator.webdriver` is true.
    Webdriver,
    /// The user agent says Headless.
    HeadlessUserAgent(String),
    /// The user agent names another system than the platform.
    UserAgentContradicts {
        /// `navigator.userAgent`.
        user_agent: String,
        /// `navigator.platform`.
        platform: String,
    },
    /// The link was opened without `hl=en`, or with two of them.
    Language(String),
    /// The window has no size, or a smaller one than the page inside.
    Window(String),
    /// Something was clicked by a script.
    Untrusted(String),
    /// Something was clicked while the pointer had not moved there.
    Unmoved(String),
    /// A name was written by a script.
    UntrustedName,
    /// The knock came with microphone or camera on.
    DevicesOn(Devices),
    /// The page was loaded again while a host was being asked.
    ReloadedInLobby,
    /// The banner about the recording cannot be seen.
    BannerHidden(String),
    /// A dialog that must be accepted was not.
    Dismissed(Dialog),
    /// The primary button of a dialog was pressed that should be closed instead.
    PressedUnknown(Dialog),
    /// Something decoy was clicked.
    Decoy(String),
    /// A chat message is longer than 500 characters.
    LongMessage(usize),
    /// A global of the hook can be seen by the page.
    Global(String),
    /// The page failed, which it would not have done without the bot.
    PageError(String),
}
