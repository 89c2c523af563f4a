//! What a meeting tells its bot, whatever the platform.

use async_trait::async_trait;
use meetbot_types::{
    Failure, Platform,
    bot::{Lobby, Participant, RecordingRule},
};

use crate::media::{Frame, TrackId};

/// Why the way to a meeting is lost, in words. They are shown and logged: no passcode stands in them.
pub(crate) type Lost = String;

/// A meeting that a bot has knocked at, until the bot drops it.
#[async_trait]
pub(crate) trait Meeting: Send {
    /// What happens next. This call moves the meeting, its media included; dropping it before it answers loses nothing.
    async fn next(&mut self) -> MeetingEvent;

    /// Writes into the chat. `false` where the bot is still on its way into it: nothing is written, and may be soon.
    async fn send_chat(&mut self, text: &str) -> Result<bool, Lost>;

    /// Asks the host for permission to record; the answer is an event.
    async fn request_permission(&mut self) -> Result<(), Lost>;

    /// Asks a sender for a picture that a decoder can start with.
    fn request_keyframe(&mut self, track: TrackId);

    /// Leaves, and waits for nobody.
    async fn leave(self: Box<Self>);
}

/// What a track shows or lets hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A person's voice.
    Microphone,
    /// A person's face.
    Camera,
    /// What a person shares; its sound too.
    Screen,
}

impl Source {
    /// The word in manifests.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Camera => "camera",
            Self::Screen => "screen",
        }
    }
}

/// Something that happened in the meeting.
#[derive(Debug)]
pub(crate) enum MeetingEvent {
    /// The bot joins under this id, which others see.
    JoiningAs {
        /// The platform whose rooms and ids these are.
        platform: Platform,
        /// Its name for the room, the same whatever link leads there.
        room: String,
        /// The id.
        own_id: String,
    },
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
        /// Of what.
        source: Source,
        /// What.
        frame: Frame,
    },
    /// The bot does not get as far as the meeting, which says nothing about the meeting itself: for good where the bot never was in, else
    /// joining again may help.
    Unreachable(Failure),
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
