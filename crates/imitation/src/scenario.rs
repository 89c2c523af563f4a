//! The definition of a meeting as data: the page, the people, and the steps.

use serde::{Deserialize, Serialize};

use crate::{Compression, Dialog, Screen};

/// A meeting. Every field has a default: a guest asks to join, waits, and is admitted by a control or a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub struct Scenario {
    /// How the page is built.
    pub dialect: Dialect,
    /// The first screen of the page.
    pub opens: Screen,
    /// The index of its text; see [`Screen::wordings`].
    pub wording: usize,
    /// The text of the button to join.
    pub join_button: String,
    /// The pre-join screen asks whether to use microphone and camera.
    pub device_dialog: bool,
    /// Misleading elements of the page.
    pub decoys: Decoys,
    /// The name of the signed-in account; the page then asks for no name.
    pub account: Option<String>,
    /// The login without which the page is that of a guest although there is an `account`: the browser has to send this value as Google's cookie `SAPISID`. A browser that opens
    /// the page for signing in gets it at once, as if a person had typed a password.
    pub login: Option<String>,
    /// The other people.
    pub people: Vec<Person>,
    /// How the page plays audio.
    pub sound: Sound,
    /// Audio is sent as RED (RFC 2198) with one packet repeated.
    pub red: bool,
    /// The page's media session begins with the request to join, not with the admission; the roster then lists the bot as not in the call.
    pub session_in_lobby: bool,
    /// How cameras and screens are encoded.
    pub video: Video,
    /// The compression of messages of `collections`.
    pub compression: Compression,
    /// Captions are sent in the channel `captions_v2`, not in `captions`.
    pub captions_v2: bool,
    /// Whether the bot may write in the chat.
    pub chat: Chat,
    /// A later participant's name comes only with the next answer of `SyncMeetingSpaceCollections`, up to 5 s after the voice.
    pub late_names: bool,
    /// How the meeting announces that a person has left.
    pub leaving_shown: LeavingShown,
    /// The page has a banner about a recording, and removes a participant who hides it.
    pub banner: bool,
    /// The steps, in order: a step waits until the previous one was taken.
    pub steps: Vec<Step>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            opens: Screen::PreJoin,
            wording: 0,
            join_button: "Ask to join".to_owned(),
            device_dialog: false,
            decoys: Decoys::default(),
            account: None,
            login: None,
            people: vec![
                Person::new("Ann Host", 1001, 500).host(),
                Person::new("Ben Weber", 1002, 700),
                Person::new("Cleo Jones", 1003, 1100),
            ],
            sound: Sound::default(),
            red: false,
            session_in_lobby: false,
            video: Video::default(),
            compression: Compression::default(),
            captions_v2: false,
            chat: Chat::default(),
            late_names: false,
            leaving_shown: LeavingShown::default(),
            banner: false,
            steps: Vec::new(),
        }
    }
}

/// The form of the page's DOM; Google Meet uses both at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Names in `aria-label`, a `textarea` for chat, `People` in a `nav`, `'` as apostrophe.
    #[default]
    Labels,
    /// Names as text in nested elements, a `contenteditable` for chat, a badge for people, `’` as apostrophe.
    Text,
}

/// Elements that misled other bots. All are off by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, whatever the others are")]
pub struct Decoys {
    /// Leave, reactions, a live preview, and a tile "Backgrounds and effects" with `data-participant-id` in the lobby.
    pub call_controls_in_lobby: bool,
    /// An invisible reCAPTCHA frame on every screen.
    pub invisible_captcha: bool,
    /// The lobby's text stays in the page behind every later screen except the meeting.
    pub lobby_left_behind: bool,
    /// The toolbar hides 3 s after the last movement of the pointer.
    pub toolbar_hides: bool,
    /// Copies of buttons without size, before the real ones.
    pub ghosts: bool,
    /// A transparent overlay covers the join button until its close button is pressed.
    pub overlay: bool,
    /// The pre-join screen is built this many milliseconds after the page was loaded.
    pub late_ms: u64,
    /// A second button, `Other ways to join`, before the real one.
    pub second_button: bool,
    /// The button to leave asks whether to end the call for everyone, as for hosts.
    pub leave_asks: bool,
    /// The page turns microphone and camera on again when the bot is admitted.
    pub devices_on_again: bool,
}

impl Decoys {
    /// All decoys.
    pub fn all() -> Self {
        Self {
            call_controls_in_lobby: true,
            invisible_captcha: true,
            lobby_left_behind: true,
            toolbar_hides: true,
            ghosts: true,
            overlay: true,
            late_ms: 2_000,
            second_button: true,
            leave_asks: true,
            devices_on_again: true,
        }
    }
}

/// A person in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Person {
    /// The full name, which acts use.
    pub name: String,
    /// The CSRC of the voice. A person who joins after another has left may have the same.
    pub csrc: u32,
    /// The voice: one of [`crate::TONES_HZ`].
    pub tone_hz: u32,
    /// The level, in dBov: from 0, the loudest, down to -127.
    #[serde(default = "spoken")]
    pub level_dbov: i8,
    /// Whether the person is a host.
    #[serde(default)]
    pub host: bool,
    /// Whether the person is in the meeting from the beginning; others join by [`Action::Join`].
    #[serde(default = "yes")]
    pub present: bool,
}

fn spoken() -> i8 {
    -25
}

fn yes() -> bool {
    true
}

impl Person {
    /// A person who is in the meeting from the beginning, and speaks at -25 dBov.
    pub fn new(name: &str, csrc: u32, tone_hz: u32) -> Self {
        Self {
            name: name.to_owned(),
            csrc,
            tone_hz,
            level_dbov: spoken(),
            host: false,
            present: true,
        }
    }

    /// Makes the person a host.
    #[must_use]
    pub fn host(mut self) -> Self {
        self.host = true;
        self
    }

    /// Lets the person join later.
    #[must_use]
    pub fn later(mut self) -> Self {
        self.present = false;
        self
    }

    /// Sets the level.
    #[must_use]
    pub fn level(mut self, level_dbov: i8) -> Self {
        self.level_dbov = level_dbov;
        self
    }
}

/// How the page plays audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// Three audio elements.
    #[default]
    Native,
    /// The page passes the encoded streams to a worker, which writes nothing back; native if
    /// `RTCRtpReceiver.prototype.createEncodedStreams` is missing.
    NetEq,
    /// The page attaches an `RTCRtpScriptTransform` to each receiver, also of video, which passes all frames on; it plays by elements, as if native. No other
    /// script can take the encoded streams.
    Transform,
}

/// How cameras and screens are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Video {
    /// VP8.
    #[default]
    Vp8,
    /// VP9, in one layer.
    Vp9,
    /// VP9 in two spatial layers (SVC). Both have nearly the same bytes, so that no decoder can show the second.
    Vp9Layers,
    /// H.264.
    H264,
    /// AV1.
    Av1,
}

/// Whether the bot may write in the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chat {
    /// Everyone may.
    #[default]
    Open,
    /// The panel opens, and its field is disabled.
    Disabled,
    /// There is no chat.
    Absent,
}

/// How the meeting announces that a person has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeavingShown {
    /// Only in the next answer of `SyncMeetingSpaceCollections`, in which the person is missing.
    #[default]
    Rpc,
    /// In `collections` at once, with a status.
    Channel,
}

/// Acts that follow a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// The signal.
    pub on: Signal,
    /// The acts.
    pub then: Vec<Action>,
}

/// A signal for which a step waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The page was opened.
    Opened,
    /// The button to join was pressed.
    Knocked,
    /// The bot was admitted, and its page's media and `collections` are up.
    Joined,
    /// A person has finished to speak.
    Said(String),
    /// The bot wrote in the chat.
    BotWrote,
    /// A dialog was accepted.
    Accepted,
    /// A dialog that need not be accepted was closed.
    Closed,
    /// The bot pressed Leave.
    Left,
}

/// An action in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A host admits the bot.
    Admit,
    /// A host refuses the bot.
    Deny,
    /// A host removes the bot.
    Remove,
    /// A host ends the meeting for everyone.
    End,
    /// The page shows another screen, with one of its texts.
    Show {
        /// The screen.
        screen: Screen,
        /// The index of its text.
        #[serde(default)]
        wording: usize,
    },
    /// The page shows a dialog.
    Ask(Dialog),
    /// A person speaks.
    Say {
        /// The person.
        person: String,
        /// For how long, in ms.
        ms: u64,
    },
    /// A person joins.
    Join(String),
    /// A person leaves.
    Leave(String),
    /// A person writes in the chat.
    Write {
        /// The person.
        person: String,
        /// The text.
        text: String,
    },
    /// A line of captions, if the page shows captions.
    Caption {
        /// The person.
        person: String,
        /// The number of the person's line.
        line: u32,
        /// The version of the line.
        version: u32,
        /// The text.
        text: String,
        /// Whether it is the last version.
        #[serde(default)]
        last: bool,
    },
    /// A person's camera is switched on, and the bot receives it; or it is switched off.
    Camera {
        /// The person.
        person: String,
        /// Whether it is on.
        on: bool,
    },
    /// A person starts or stops to share a screen. The screen is an entry of the roster, but not a participant; it shows the same as a camera.
    Present {
        /// The person.
        person: String,
        /// Whether the person shares.
        on: bool,
    },
    /// Bytes in `collections` that are not a message of Meet.
    Raw(Vec<u8>),
    /// Changes the compression of messages of `collections`.
    Pack(Compression),
    /// Changes a person's CSRC, also in the middle of a sentence.
    ChangeCsrc {
        /// The person.
        person: String,
        /// The new CSRC.
        csrc: u32,
    },
    /// Whether packets name all speakers, like those of a mix; else each names its speaker.
    Mix(bool),
    /// Moves a person's voice to the next lane.
    ChangeLane(String),
    /// The page makes a new peer connection and closes the old one.
    NewPeerConnection,
    /// The media path fails silently: nothing is sent, and nothing is answered.
    Cut,
    /// A script occupies the page's main thread for so long, in ms.
    Busy(u64),
}
