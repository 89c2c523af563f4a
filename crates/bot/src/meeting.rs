//! What a meeting tells its bot, whatever the platform.

use std::time::Instant;

use async_trait::async_trait;
use meetbot_types::{
    CommandId, Failure, Platform,
    bot::{Lobby, Participant, RecordingRule},
};

use crate::media::{Frame, TrackId};

/// Why the way to a meeting is lost, in words. They are shown and logged: no passcode stands in them.
pub(crate) type Lost = String;

/// A meeting that a bot has knocked at, until the bot drops it.
///
/// Its verbs enqueue what is to be done and return at once, so that nothing that takes long holds the meeting up. What becomes of a command is told by
/// [`MeetingEvent::CommandDone`], or never where the meeting is lost before.
#[async_trait]
pub(crate) trait Meeting: Send {
    /// What happens next. This call moves the meeting, its media included; dropping it before it answers loses nothing.
    async fn next(&mut self) -> MeetingEvent;

    /// Writes into the chat.
    fn send_chat(&mut self, id: CommandId, text: String);

    /// Asks the host for permission to record. The command is done when the question is sent; the answer is [`MeetingEvent::Permission`].
    fn request_permission(&mut self, id: CommandId);

    /// Asks a sender for a picture that a decoder can start with.
    fn request_keyframe(&mut self, track: TrackId);

    /// Leaves, which takes a few seconds at most. Answers the commands that were still done.
    async fn leave(self: Box<Self>) -> Vec<CommandId>;

    /// Leaves to the job's next bot what it can go on with. Most platforms have nothing of the kind, and are left.
    async fn hand_over(self: Box<Self>) -> Vec<CommandId> {
        self.leave().await
    }
}

/// What became of a command; where it could not be done, why.
pub(crate) type Outcome = Result<(), String>;

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

    /// The source of this word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Microphone, Self::Camera, Self::Screen].into_iter().find(|it| it.word() == word)
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
    /// Why it waits there, for the case that nobody lets it in: a clause, without a full stop.
    LobbyDetail(String),
    /// What the meeting sends begins at this moment, which is before the bot was let in: a bot that joins anew is sent again what it has. Comes before
    /// [`MeetingEvent::Admitted`].
    Replays {
        /// When.
        from: Instant,
    },
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
    /// The meeting has done what it was asked to do, or cannot do it.
    CommandDone {
        /// Which command.
        id: CommandId,
        /// What became of it.
        outcome: Outcome,
    },
    /// The host's answer to the request for permission to record.
    Permission(bool),
    /// Someone sends something that cannot be recorded. Told once of each codec of a source.
    Unavailable {
        /// Who.
        participant: String,
        /// What it shows.
        source: Source,
        /// How it is encoded, as media types have it, in lower case.
        codec: String,
        /// Why it cannot be recorded: a sentence without a full stop.
        reason: &'static str,
    },
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
    /// The host withdrew the consent to be recorded: what was recorded is to be deleted.
    ConsentRevoked,
    /// The way to the meeting is lost; joining again may help.
    Lost(String),
}

impl MeetingEvent {
    /// Why the bot is not in the meeting, in words, where this says it.
    pub(crate) fn why(&self) -> Option<String> {
        match self {
            Self::Unreachable(failure) | Self::Refused(failure) => Some(failure.detail.clone()),
            Self::Lost(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// The command that this event reports as done.
    pub(crate) fn done(self) -> Option<CommandId> {
        match self {
            Self::CommandDone { id, outcome: Ok(()) } => Some(id),
            _ => None,
        }
    }
}

/// A line of the meeting's chat.
#[derive(Debug)]
pub(crate) struct ChatLine {
    pub(crate) id: String,
    pub(crate) sender_id: String,
    pub(crate) sender: String,
    pub(crate) text: String,
    pub(crate) private: bool,
    /// How long ago it was written: 0 where it comes as it is written.
    pub(crate) ms_ago: u64,
}

/// A line of the meeting's captions.
#[derive(Debug)]
pub(crate) struct CaptionLine {
    pub(crate) speaker_id: String,
    pub(crate) speaker: String,
    pub(crate) began_ms_ago: u64,
    pub(crate) ended_ms_ago: u64,
    pub(crate) text: String,
}
