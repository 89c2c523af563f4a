//! A scenario, worked out: who does what when.

use std::time::Duration;

use meetbot_types::{
    FailureCode,
    bot::{Lobby, RecordingRule},
};

/// What meets a bot at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// It is let in, after a wait in the lobby or at once.
    Admits { after: Duration },
    /// It waits, and is refused.
    Denies { after: Duration },
    /// It waits for ever.
    Waits(Lobby),
    /// There is nothing to join.
    Refuses(FailureCode, &'static str),
}

/// Someone in the meeting, the bot left out.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_host: bool,
    pub(crate) is_bot: bool,
    /// When they come and go.
    pub(crate) there: Span,
    /// When they talk.
    pub(crate) talks: Vec<Span>,
    /// What their microphone sends then.
    pub(crate) voice: Voice,
    /// When they change their name, and to what.
    pub(crate) renamed: Option<(Duration, &'static str)>,
}

/// What a microphone sends while its person talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// The person's own voice.
    Own,
    /// The same; each turn is a whole sentence.
    Sentences,
    /// A tone of 1 kHz.
    Tone,
    /// The noise of a room in which nobody speaks.
    Room,
    /// Quiet speech.
    Whisper,
}

/// From when to when, in the scenario's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Span {
    pub(crate) fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    pub(crate) fn contains(self, at: Duration) -> bool {
        self.from <= at && at < self.to
    }
}

/// A line of chat.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) person: usize,
    pub(crate) text: &'static str,
    /// To the bot alone.
    pub(crate) private: bool,
}

/// How it ends for the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finale {
    /// The meeting is over.
    Ends,
    /// The host takes the bot out.
    Removes,
}

/// A scenario, worked out: who does what when.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) door: Door,
    pub(crate) people: Vec<Person>,
    pub(crate) chat: Vec<Line>,
    pub(crate) length: Duration,
    pub(crate) finale: Finale,
    /// Whether bots may record.
    pub(crate) recording: RecordingRule,
    /// What the host says to a bot that asks for permission, and after how long; nothing at all is an answer too.
    pub(crate) answer: Option<(bool, Duration)>,
    /// When nobody can reach the meeting.
    pub(crate) outage: Option<Span>,
    /// When no packet comes from anybody.
    pub(crate) hush: Option<Span>,
    /// How long after it was let in a bot crashes.
    pub(crate) crash_after: Option<Duration>,
}
