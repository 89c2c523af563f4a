//! The interface between a bot and its meeting, the same for all platforms.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use meetbot_types::{
    CommandId, Failure, Platform,
    bot::{Lobby, Participant, RecordingRule},
};

use crate::media::{Frame, TrackId};

/// Why the connection to a meeting is lost, as text. It is shown and logged, so it contains no passcode.
pub(crate) type Lost = String;

/// A meeting that a bot attends or waits to enter, until the bot drops it.
///
/// Its methods enqueue work and return at once, so that slow work does not delay the meeting's media. [`MeetingEvent::CommandDone`] reports the result of a
/// command, unless the connection is lost before.
#[async_trait]
pub(crate) trait Meeting: Send {
    /// The next event. This call drives the meeting, its media included. It is cancel-safe.
    async fn next(&mut self) -> MeetingEvent;

    /// Media that [`Meeting::next`] has received already. The loop records them before it looks at anything else.
    fn arrived_media(&mut self) -> Option<MeetingEvent> {
        None
    }

    /// Writes into the chat.
    fn send_chat(&mut self, id: CommandId, text: String);

    /// Asks the host for permission to record. The command is done when the question is sent; the answer is [`MeetingEvent::Permission`].
    fn request_permission(&mut self, id: CommandId);

    /// Asks a sender for a keyframe.
    fn request_keyframe(&mut self, track: TrackId);

    /// How many datagrams this connection lost because the bot's sockets were full.
    fn dropped_datagrams(&self) -> u64 {
        0
    }

    /// How often this connection read datagrams that had waited in the bot's sockets for too long.
    fn late_readings(&self) -> u64 {
        0
    }

    /// Leaves, which takes a few seconds at most.
    async fn leave(self: Box<Self>) -> Remainder;

    /// Leaves without ending the connection that the job's next bot can continue. Most platforms have no such connection, and are left.
    async fn hand_over(self: Box<Self>) -> Remainder {
        self.leave().await
    }
}

/// What still came while the bot left.
#[derive(Debug, Default)]
pub(crate) struct Remainder {
    /// The commands that were carried out.
    pub(crate) done: Vec<CommandId>,
    /// Lines of captions that were incomplete until then.
    pub(crate) captions: Vec<CaptionLine>,
}

impl From<Vec<CommandId>> for Remainder {
    fn from(done: Vec<CommandId>) -> Self {
        Self { done, ..Self::default() }
    }
}

/// The result of a command; the error is the reason.
pub(crate) type Outcome = Result<(), String>;

/// The source of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A person's voice.
    Microphone,
    /// A person's camera.
    Camera,
    /// A person's shared screen; its audio too.
    Screen,
}

impl Source {
    /// Its name in manifests.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Camera => "camera",
            Self::Screen => "screen",
        }
    }

    /// The source with this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Microphone, Self::Camera, Self::Screen].into_iter().find(|it| it.word() == word)
    }
}

/// How it is known whose media are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribution {
    /// The meeting sends each participant's media separately.
    Stream,
    /// The packets name a source, and the meeting its owner.
    Source,
    /// The packets name a source whose owner is not known yet.
    Unnamed,
    /// Several participants at once.
    Mix,
    /// The packets were made from what a page played, and the page reports the source of what it plays.
    Played,
}

impl Attribution {
    /// Its name in manifests.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Source => "source",
            Self::Unnamed => "unnamed",
            Self::Mix => "mix",
            Self::Played => "played",
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
    /// The bot waits in the lobby.
    Lobby(Lobby),
    /// Why it waits there, for the failure's text if nobody admits it: a clause, without a full stop.
    LobbyDetail(String),
    /// The meeting replays media from this moment on, which is before the bot was admitted; after a rejoin, also media that the bot has already. Comes before
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
    /// A participant joined.
    Joined(Participant),
    /// A participant left.
    Left(String),
    /// A chat message.
    Chat(ChatLine),
    /// A line of the meeting's captions.
    Caption(CaptionLine),
    /// The meeting has carried out a command, or cannot do so.
    CommandDone {
        /// Which command.
        id: CommandId,
        /// Its result.
        outcome: Outcome,
    },
    /// The host's answer to the request for permission to record.
    Permission(bool),
    /// How it is known whose media from this source of this participant are, if it is not as usual on the platform. Comes after the participant's join, and
    /// before the media; a later one replaces it.
    Attributed {
        /// The participant's id.
        participant: String,
        /// The source.
        source: Source,
        /// How.
        attribution: Attribution,
    },
    /// A participant sends media that cannot be recorded. Comes once for each codec of a source.
    Unavailable {
        /// The participant's id.
        participant: String,
        /// The source.
        source: Source,
        /// The codec's lower-case name, as in media types.
        codec: String,
        /// Why it cannot be recorded: a sentence, without a full stop.
        reason: &'static str,
    },
    /// A frame of a participant's media.
    Media {
        /// The participant's id.
        participant: String,
        /// The source.
        source: Source,
        /// The frame.
        frame: Frame,
    },
    /// The bot cannot reach the meeting, for a reason outside of the meeting. Final if the bot was never in the meeting; else
    /// joining again may help.
    Unreachable(Failure),
    /// The meeting refuses the bot; joining again does not help.
    Refused(Failure),
    /// The host removed the bot.
    Removed,
    /// The meeting is over.
    Ended,
    /// The host withdrew the consent: the recording must be deleted.
    ConsentRevoked,
    /// The connection to the meeting is lost; joining again may help.
    Lost(String),
}

impl MeetingEvent {
    /// Why the bot is not in the meeting, if this event gives a reason.
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
    /// How long ago it was written: 0 for a live message.
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

impl CaptionLine {
    /// The line, seen from later by this duration.
    pub(crate) fn older(self, by: Duration) -> Self {
        let later =
            |ms_ago: u64| ms_ago.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
        let (began_ms_ago, ended_ms_ago) = (later(self.began_ms_ago), later(self.ended_ms_ago));
        Self { began_ms_ago, ended_ms_ago, ..self }
    }
}
