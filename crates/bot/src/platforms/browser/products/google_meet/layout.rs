//! Where in Google Meet's messages the fields are that the bot reads: `wire` and `captions` read them, `fields` reports which of them came.
//!
//! The numbers are those that several public projects have found (2024 to 2026); Google documents none.

use super::CALL;

/// A kind of message inside of a channel's messages, or of a call's answers.
pub(crate) struct Kind {
    /// The label of the channel, or the name of the call.
    pub(super) channel: &'static str,
    /// The path of nested fields in which it is, any number of times.
    pub(super) path: &'static [u32],
    /// The fields that are read, by meaning and path.
    pub(super) fields: &'static [(&'static str, &'static [u32])],
}

/// The label of the channel with roster, outputs and chat.
pub(crate) const COLLECTIONS: &str = "collections";
/// The labels of the channels for captions.
pub(crate) const CAPTIONS: &str = "captions";
pub(crate) const CAPTIONS_2: &str = "captions_v2";

/// All kinds.
pub(super) const KINDS: [&Kind; 6] = [&ROSTER, &OUTPUTS, &CHAT, &ROSTER_OF_CALL, &LINES, &LINES_2];

/// The roster on the channel; it contains the entries that changed.
pub(super) const ROSTER: Kind =
    Kind { channel: COLLECTIONS, path: &[1, 2, 13, 1, 2], fields: person::ALL };
/// The roster in the answer of the call; it is complete.
pub(super) const ROSTER_OF_CALL: Kind =
    Kind { channel: CALL, path: &[2, 2, 2], fields: person::ALL };
/// The media that devices send.
pub(super) const OUTPUTS: Kind =
    Kind { channel: COLLECTIONS, path: &[1, 2, 3, 2], fields: output::ALL };
/// Chat messages.
pub(super) const CHAT: Kind =
    Kind { channel: COLLECTIONS, path: &[1, 2, 13, 4, 2], fields: chat::ALL };
/// Lines of captions.
pub(super) const LINES: Kind = Kind { channel: CAPTIONS, path: &[1], fields: line::ALL };
pub(super) const LINES_2: Kind = Kind { channel: CAPTIONS_2, path: &[1, 1], fields: line_2::ALL };

/// An entry of the roster.
pub(super) mod person {
    pub(crate) const DEVICE: u32 = 1;
    pub(crate) const NAME: u32 = 2;
    pub(crate) const STATUS: u32 = 4;
    pub(crate) const SELF: u32 = 7;
    pub(crate) const SCREEN_OF: u32 = 21;
    pub(crate) const SHORT_NAME: u32 = 29;
    pub(crate) const HOST: u32 = 34;
    pub(super) const ALL: &[(&str, &[u32])] = &[
        ("a participant's device", &[DEVICE]),
        ("a participant's name", &[NAME]),
        ("a participant's short name", &[SHORT_NAME]),
        ("a participant's status", &[STATUS]),
        ("the bot itself", &[SELF]),
        ("whose screen it is", &[SCREEN_OF]),
        ("a host", &[HOST]),
    ];
}

/// A stream that a device sends.
pub(super) mod output {
    pub(crate) const KIND: u32 = 2;
    pub(crate) const STREAM: u32 = 4;
    pub(crate) const DEVICE: u32 = 6;
    pub(super) const ALL: &[(&str, &[u32])] = &[
        ("the kind of an output", &[KIND]),
        ("the source or stream of an output", &[STREAM]),
        ("the device of an output", &[DEVICE]),
    ];
}

/// A chat message.
pub(super) mod chat {
    pub(crate) const ID: u32 = 1;
    pub(crate) const DEVICE: u32 = 2;
    pub(crate) const CONTENT: u32 = 5;
    /// In the content.
    pub(crate) const TEXT: u32 = 1;
    pub(super) const ALL: &[(&str, &[u32])] = &[
        ("the id of a chat message", &[ID]),
        ("the device of a chat message", &[DEVICE]),
        ("the text of a chat message", &[CONTENT, TEXT]),
    ];
}

/// A line on the channel `captions`.
pub(super) mod line {
    pub(crate) const DEVICE: u32 = 1;
    pub(crate) const NUMBER: u32 = 2;
    pub(crate) const VERSION: u32 = 3;
    /// Some projects found the text here, others whether the version is the last.
    pub(crate) const LAST_OR_TEXT: u32 = 4;
    pub(crate) const TEXT: u32 = 6;
    pub(super) const ALL: &[(&str, &[u32])] = &[
        ("the device of a line", &[DEVICE]),
        ("the number of a line", &[NUMBER]),
        ("the version of a line", &[VERSION]),
        ("whether it is the last version, or its text", &[LAST_OR_TEXT]),
        ("the text of a line", &[TEXT]),
    ];
}

/// A line on the channel `captions_v2`.
pub(super) mod line_2 {
    pub(crate) const NUMBER: u32 = 1;
    pub(crate) const VERSION: u32 = 2;
    pub(crate) const CONTENT: u32 = 3;
    /// These three in the content.
    pub(crate) const TEXT: u32 = 3;
    pub(crate) const DEVICE: u32 = 6;
    pub(crate) const LAST: u32 = 9;
    pub(super) const ALL: &[(&str, &[u32])] = &[
        ("the number of a line", &[NUMBER]),
        ("the version of a line", &[VERSION]),
        ("the text of a line", &[CONTENT, TEXT]),
        ("the device of a line", &[CONTENT, DEVICE]),
        ("whether it is the last version", &[CONTENT, LAST]),
    ];
}
