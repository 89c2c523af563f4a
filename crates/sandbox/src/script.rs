//! The timeline of a scenario.

use std::time::Duration;

use meetbot_types::{
    FailureCode,
    bot::{Lobby, RecordingRule},
};

/// How the meeting treats a joining bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JoinResponse {
    /// The bot is admitted, after a wait in the lobby or at once.
    Admits { after: Duration },
    /// The bot waits in the lobby, and is refused.
    Denies { after: Duration },
    /// The bot waits in the lobby without an answer.
    Waits(Lobby),
    /// The join fails at once.
    Refuses(FailureCode, &'static str),
}

/// A person in the meeting.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_host: bool,
    pub(crate) is_bot: bool,
    /// When the person joins and leaves.
    pub(crate) there: Span,
    /// When the person talks.
    pub(crate) talks: Vec<Span>,
    /// The microphone's content meanwhile.
    pub(crate) voice: Voice,
    /// When the person changes the name, and the new name.
    pub(crate) renamed: Option<(Duration, &'static str)>,
}

/// The content of a microphone while its person talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// The person's voice.
    Own,
    /// The person's voice; each turn is a complete sentence.
    Sentences,
    /// A tone of 1 kHz.
    Tone,
    /// The noise of a quiet room.
    Room,
    /// Quiet speech.
    Whisper,
}

/// A span of the scenario's time.
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
    /// Sent to the bot only.
    pub(crate) private: bool,
}

/// How the call ends for the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// The meeting is over.
    Ends,
    /// The host removes the bot.
    Removes,
}

/// The timeline of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) join_response: JoinResponse,
    pub(crate) people: Vec<Person>,
    pub(crate) chat: Vec<Line>,
    pub(crate) length: Duration,
    pub(crate) call_end: CallEnd,
    /// Whether bots may record.
    pub(crate) recording: RecordingRule,
    /// The host's answer to a request for permission, and its delay; `None` if the host does not answer.
    pub(crate) answer: Option<(bool, Duration)>,
    /// When the meeting cannot be reached.
    pub(crate) outage: Option<Span>,
    /// When no packets are sent.
    pub(crate) silence: Option<Span>,
    /// How long after its admission a bot crashes.
    pub(crate) crash_after: Option<Duration>,
}
