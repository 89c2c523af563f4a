//! What a meeting of the imitation is to be, as data: the page, the people, and what happens upon what.

use serde::{Deserialize, Serialize};

use crate::{Compression, Dialog, Screen};

/// A meeting. Every field has a default: a guest knocks, waits, and is let in by a control or a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub struct Scenario {
    /// How the page is built.
    pub dialect: Dialect,
    /// What the page shows once it is open.
    pub opens: Screen,
    /// Which of the opening screen's texts; see [`Screen::wordings`].
    pub wording: usize,
    /// What is written on the button by which a guest joins.
    pub join_button: String,
    /// The page asks on its pre-join screen whether to use microphone and camera.
    pub device_dialog: bool,
    /// What is in the page only to mislead.
    pub decoys: Decoys,
    /// The account that is signed in: no name is asked, and it is shown under this name.
    pub account: Option<String>,
    /// Who the others are.
    pub people: Vec<Person>,
    /// How the page plays sound.
    pub sound: Sound,
    /// Audio is sent as RED (RFC 2198) with one packet repeated.
    pub red: bool,
    /// The page's session begins with the knock, not with the admission; the roster then shows the bot as not in.
    pub session_in_lobby: bool,
    /// How cameras and screens are encoded.
    pub video: Video,
    /// How messages of `collections` are packed.
    pub compression: Compression,
    /// Captions come by the channel `captions_v2`, not by `captions`.
    pub captions_v2: bool,
    /// Whether the bot may write in the chat.
    pub chat: Chat,
    /// The name of somebody who joins later comes only with the next answer of `SyncMeetingSpaceCollections`, up to 5 s after their voice.
    pub late_names: bool,
    /// Where it shows that somebody has left.
    pub leaving_shown: LeavingShown,
    /// The page has a banner about a recording, and removes a participant where it is hidden.
    pub banner: bool,
    /// What happens upon what, in this order: a step waits until the one before it was taken.
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

/// How the page is built: which of the forms in use at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Names in `aria-label`, a `textarea` for chat, `People` in a `nav`, `'` as apostrophe.
    #[default]
    Labels,
    /// Names as text in nested elements, a `contenteditable` for chat, a badge for people, `’` as apostrophe.
    Text,
}

/// What misled other bots. All of it is off by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, whatever the others are")]
pub struct Decoys {
    /// Leave, reactions, a picture that moves, and a tile "Backgrounds and effects" with `data-participant-id` in the lobby.
    pub call_controls_in_lobby: bool,
    /// An invisible reCAPTCHA frame on every screen.
    pub invisible_captcha: bool,
    /// The lobby's text stays in the page behind every later screen but the meeting.
    pub lobby_left_behind: bool,
    /// The toolbar hides 3 s after the last movement of the pointer.
    pub toolbar_hides: bool,
    /// Copies of buttons without size, before the real ones.
    pub ghosts: bool,
    /// An overlay that is transparent and takes clicks lies over the join button until its close button is pressed.
    pub overlay: bool,
    /// The pre-join screen is built only so many milliseconds after the page was loaded.
    pub late_ms: u64,
    /// A second button, `Other ways to join`, before the real one.
    pub second_button: bool,
    /// The button to leave asks whether to end the call for everyone, as it asks hosts.
    pub leave_asks: bool,
    /// The page turns microphone and camera on again when the bot is admitted.
    pub devices_on_again: bool,
}

impl Decoys {
    /// Everything at once.
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

/// Somebody in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Person {
    /// Their full name, by which acts name them.
    pub name: String,
    /// The CSRC of their voice. Somebody who joins after another has left may have the same.
    pub csrc: u32,
    /// Their voice: one of [`crate::TONES_HZ`].
    pub tone_hz: u32,
    /// How loud they are: from 0, the loudest, down to -127.
    #[serde(default = "spoken")]
    pub level_dbov: i8,
    /// A host of the meeting.
    #[serde(default)]
    pub host: bool,
    /// In the meeting from the beginning; others join by [`Act::Join`].
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
    /// Somebody who is there from the beginning and speaks at -25 dBov.
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

    /// As a host.
    #[must_use]
    pub fn host(mut self) -> Self {
        self.host = true;
        self
    }

    /// As somebody who comes later.
    #[must_use]
    pub fn later(mut self) -> Self {
        self.present = false;
        self
    }

    /// With another loudness.
    #[must_use]
    pub fn level(mut self, level_dbov: i8) -> Self {
        self.level_dbov = level_dbov;
        self
    }
}

/// How the page plays sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// Three audio elements.
    #[default]
    Native,
    /// The page takes the encoded streams into a worker, which writes nothing back; native where
    /// `RTCRtpReceiver.prototype.createEncodedStreams` is not there.
    NetEq,
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
    /// VP9 in two spatial layers (SVC). Both hold nearly the same, so that no decoder can show the second.
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
    /// The panel opens, and its field takes nothing.
    Disabled,
    /// There is no chat.
    Absent,
}

/// Where it shows that somebody has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeavingShown {
    /// Only in the next answer of `SyncMeetingSpaceCollections`, in which they are missing.
    #[default]
    Rpc,
    /// In `collections` at once, with a status.
    Channel,
}

/// Something that happens upon a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// What is waited for.
    pub on: Signal,
    /// What happens then.
    pub then: Vec<Act>,
}

/// Something that a step may wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The page was opened.
    Opened,
    /// The button to join was pressed.
    Knocked,
    /// The bot was admitted, and its page's media and `collections` are there.
    Joined,
    /// Somebody has said all that they were to say.
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

/// Something that happens in the meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A host lets the bot in.
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
        /// Which of its texts.
        #[serde(default)]
        wording: usize,
    },
    /// The page shows a dialog.
    Ask(Dialog),
    /// Somebody speaks.
    Say {
        /// Who.
        person: String,
        /// For how long.
        ms: u64,
    },
    /// Somebody joins, and speaks from then on under their CSRC.
    Join(String),
    /// Somebody leaves.
    Leave(String),
    /// Somebody writes in the chat.
    Write {
        /// Who.
        person: String,
        /// What.
        text: String,
    },
    /// What somebody says stands in the captions, as long as the page shows captions.
    Caption {
        /// Who.
        person: String,
        /// Which of their lines; each person counts by themselves.
        line: u32,
        /// Which version of the line.
        version: u32,
        /// What.
        text: String,
        /// No other version follows.
        #[serde(default)]
        last: bool,
    },
    /// Somebody's camera goes on, and is the one that the bot sees; or it goes off.
    Camera {
        /// Who.
        person: String,
        /// Whether it is on.
        on: bool,
    },
    /// Somebody shares a screen, or stops. The screen is an entry of the roster, but no participant; it shows what their camera would.
    Present {
        /// Who.
        person: String,
        /// Whether they share.
        on: bool,
    },
    /// Something comes in `collections` that is no message of Meet.
    Raw(Vec<u8>),
    /// Messages of `collections` are packed in another way from now on.
    Pack(Compression),
    /// Somebody has another CSRC from now on, also in the middle of a sentence.
    ChangeCsrc {
        /// Who.
        person: String,
        /// Their new CSRC.
        csrc: u32,
    },
    /// Packets name all who speak, as those of a mix do; or each names its speaker again.
    Mix(bool),
    /// Somebody's voice moves to the next lane.
    ChangeLane(String),
    /// The page makes a new peer connection and closes the old one.
    NewPeerConnection,
    /// The media path goes dead without a word: nothing comes, and nothing is answered.
    Cut,
}
