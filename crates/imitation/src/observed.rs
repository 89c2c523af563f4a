//! The imitation's observations of the bot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Dialog, Screen};

/// The observations of the bot so far.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub struct Observed {
    /// How often the meeting's page was loaded.
    pub visits: u32,
    /// The screen of the page.
    pub screen: Option<Screen>,
    /// The name with which the bot asked to join.
    pub name: Option<String>,
    /// How often it asked to join.
    pub knocks: u32,
    /// Whether microphone and camera were on when it last asked to join.
    pub devices_at_knock: Option<Devices>,
    /// Whether microphone and camera are on now.
    pub devices: Option<Devices>,
    /// Every click, in order.
    pub clicks: Vec<Click>,
    /// Actions that a person's browser would not do.
    pub faults: Vec<Fault>,
    /// How many media sessions the page has opened.
    pub sessions: u32,
    /// Whether media of the last session and `collections` are up.
    pub connected: bool,
    /// The bot is in the meeting, its media and `collections` are up.
    pub joined: bool,
    /// Packets that were sent on the lanes, by person.
    pub sent: BTreeMap<String, u64>,
    /// Packets of people who spoke without a lane.
    pub unsent: BTreeMap<String, u64>,
    /// Pictures that were sent, by the person whose camera it is.
    pub pictures: BTreeMap<String, u64>,
    /// Pictures that were sent, by the person whose screen it is.
    pub screen_pictures: BTreeMap<String, u64>,
    /// Whether the page receives video; it does not if it is set to audio only.
    pub takes_video: Option<bool>,
    /// Packets of audio that came from the bot.
    pub heard: u64,
    /// The loudest of them, in dBov; `None` if none had a level.
    pub loudest_heard_dbov: Option<i8>,
    /// Answers of `SyncMeetingSpaceCollections`.
    pub syncs: u32,
    /// The bot's chat messages.
    pub written: Vec<String>,
    /// Dialogs that were accepted.
    pub accepted: Vec<Dialog>,
    /// Dialogs that were closed in another way.
    pub closed: Vec<Dialog>,
    /// How the page plays audio: `native`, `neteq` or `transform`.
    pub sound: Option<String>,
    /// How many encoded frames the page's worker has read.
    pub worker_frames: u64,
    /// The labels of the data channels that the bot's page has opened.
    pub channels: Vec<String>,
    /// A channel for captions is open: lines that are sent now reach the page.
    pub takes_captions: bool,
    /// The messages in them, by label.
    pub messages: Vec<(String, Vec<u8>)>,
    /// The bot left with the button.
    pub left: bool,
    /// How many browsers have shown the page for signing in.
    pub sign_ins: u32,
    /// Of each visit, the value of the cookie that the page renews with each visit; `None` if the browser had none.
    pub renewed: Vec<Option<String>>,
    /// Requests for unknown paths, and invalid reports of the page.
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
    /// The accessible name of the clicked element.
    pub name: String,
    /// Whether it came from the browser and not from a script.
    pub trusted: bool,
    /// The position, in pixels of the viewport.
    pub x: f64,
    /// See `x`.
    pub y: f64,
    /// The position is inside of the clicked element.
    pub inside: bool,
    /// Movements of the pointer since the previous click.
    pub moves: u32,
}

/// An action or property that a person's browser would not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `navigator.webdriver` is true.
    Webdriver,
    /// The user agent contains "Headless".
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
    /// The window has no size, or is smaller than the page.
    Window(String),
    /// A script clicked.
    Untrusted(String),
    /// A click without a movement of the pointer.
    Unmoved(String),
    /// A script wrote the name.
    UntrustedName,
    /// The bot asked to join with microphone or camera on.
    DevicesOn(Devices),
    /// The page was reloaded in the lobby.
    ReloadedInLobby,
    /// The banner about the recording is not visible.
    BannerHidden(String),
    /// A dialog that must be accepted was dismissed.
    Dismissed(Dialog),
    /// The primary button of a dialog that should be closed was pressed.
    PressedUnknown(Dialog),
    /// A decoy was clicked.
    Decoy(String),
    /// A chat message is longer than 500 characters.
    LongMessage(usize),
    /// The page can see a global of the hook.
    Global(String),
    /// The page had an error, which the bot must have caused.
    PageError(String),
}
