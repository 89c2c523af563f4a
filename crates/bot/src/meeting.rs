//! What a meeting tells its bot, whatever the platform.

use meetbot_rtc::Frame;
use meetbot_types::{
    Failure,
    bot::{Lobby, Participant, RecordingRule},
};

/// Something that happened in the meeting.
#[derive(Debug)]
pub(crate) enum MeetingEvent {
    /// The bot waits at the door.
    Lobby(Lobby),
    /// The bot is in: the roster holds it and the media path is up.
    Admitted {
        /// Everyone else who is there.
        people: Vec<Participant>,
        /// Whether the bot may record.
        recording: RecordingRule,
    },
    /// Someone came.
    Joined(Participant),
    /// Someone went.
    Left(String),
    /// Someone wrote into the chat.
    Chat(ChatLine),
    /// What someone said, as the meeting's captions have it.
    Caption(CaptionLine),
    /// The host's answer to the request for permission to record.
    Permission(bool),
    /// A frame of someone's media.
    Media {
        /// Whose.
        participant: String,
        /// What.
        frame: Frame,
    },
    /// The bot is not let in, for good.
    Refused(Failure),
    /// The host took the bot out.
    Removed,
    /// The meeting is over.
    Ended,
    /// The way to the meeting is lost; joining again may help.
    Lost(String),
}

/// A line of the meeting's chat.
#[derive(Debug)]
pub(crate) struct ChatLine {
    pub(crate) id: String,
    pub(crate) sender_id: String,
    pub(crate) sender: String,
    pub(crate) text: String,
    pub(crate) private: bool,
}

/// A line of the meeting's captions.
#[derive(Debug)]
pub(crate) struct CaptionLine {
    pub(crate) speaker_id: String,
    pub(crate) speaker: String,
    pub(crate) began_ms_ago: u64,
    pub(crate) text: String,
}
