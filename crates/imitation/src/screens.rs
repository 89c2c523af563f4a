//! The screens and dialogs of the page, with their texts, after published observations of Google Meet.

use serde::{Deserialize, Serialize};

/// A state of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Screen {
    /// Name, microphone, camera, and a button to join.
    PreJoin,
    /// The link leads to no meeting.
    WrongCode,
    /// The browser is led to `accounts.google.com`.
    SignInHost,
    /// The page itself asks to sign in.
    SignIn,
    /// The bot asked to join; a host must admit it.
    WaitingRoom,
    /// The host has not joined yet.
    HostAbsent,
    /// A host refused.
    Denied,
    /// Nobody answered the request to join.
    Unanswered,
    /// Google refuses this browser, or the meeting requires an account.
    Blocked,
    /// The page cannot connect.
    Trouble,
    /// A visible captcha.
    Captcha,
    /// In the meeting.
    Meeting,
    /// In the meeting, while its connection is lost.
    Reconnecting,
    /// Removed by a host.
    Removed,
    /// The meeting is over.
    Ended,
    /// The bot has left.
    Left,
    /// The meeting is full.
    Full,
    /// A black page on which a script has failed.
    Dead,
    /// A page without landmarks.
    Unknown,
    /// The start page of Google Meet.
    Home,
}

impl Screen {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::PreJoin,
        Self::WrongCode,
        Self::SignInHost,
        Self::SignIn,
        Self::WaitingRoom,
        Self::HostAbsent,
        Self::Denied,
        Self::Unanswered,
        Self::Blocked,
        Self::Trouble,
        Self::Captcha,
        Self::Meeting,
        Self::Reconnecting,
        Self::Removed,
        Self::Ended,
        Self::Left,
        Self::Full,
        Self::Dead,
        Self::Unknown,
        Self::Home,
    ];

    /// Its published texts, with `'` as apostrophe. The first is the usual one.
    pub const fn wordings(self) -> &'static [&'static str] {
        match self {
            Self::PreJoin => &["Ready to join?"],
            Self::WrongCode => &[
                "Check your meeting code",
                "Invalid video call name",
                "Your meeting code has expired",
                "The meeting code you entered doesn't work",
            ],
            Self::SignInHost | Self::SignIn => &["Sign in"],
            Self::WaitingRoom => &[
                "Asking to be let in...",
                "You'll join the call when someone lets you in",
                "Please wait until a meeting host brings you into the call",
                "Please wait until a meeting host admits you to the call",
            ],
            Self::HostAbsent => &["Waiting for the host to join"],
            Self::Denied => &[
                "Someone in the call denied your request to join",
                "Your request to join was denied",
                "You weren't allowed to join",
            ],
            Self::Unanswered => &["No one responded to your request to join the call"],
            Self::Blocked => &["You can't join this video call"],
            Self::Trouble => &[
                "There is a problem connecting to this video call. Try again in a few minutes.",
                "Sorry, we encountered a problem joining this video call",
            ],
            Self::Captcha => &["Confirm you're not a robot"],
            Self::Meeting | Self::Dead => &[""],
            Self::Reconnecting => {
                &["Connection lost. Trying to reconnect...", "Reconnecting...", "Unable to connect"]
            }
            Self::Removed => {
                &["You've been removed from the meeting", "You were removed from the meeting"]
            }
            Self::Ended => &[
                "Your host ended the meeting for everyone",
                "The call ended because everyone left",
                "The call ended",
            ],
            Self::Left => &["You left the meeting"],
            Self::Full => &["This meeting is full"],
            Self::Unknown => &["Something here is new"],
            Self::Home => &["Video calls and meetings for everyone"],
        }
    }

    /// Whether the bot is in the meeting.
    pub(crate) const fn is_in(self) -> bool {
        matches!(self, Self::Meeting | Self::Reconnecting)
    }
}

/// A modal dialog over the meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialog {
    /// The meeting is being recorded.
    Recorded,
    /// The meeting is being transcribed.
    Transcribed,
    /// Gemini is taking notes.
    Notes,
    /// The meeting is captured by an app.
    Captured,
    /// Others may see the bot's video in another form.
    OthersMaySee,
    /// Gemini asks for consent to take notes.
    NotesForMe,
    /// A host has muted the bot; it need not be accepted.
    MutedByHost,
    /// A dialog without landmarks.
    Unheard,
}

impl Dialog {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Recorded,
        Self::Transcribed,
        Self::Notes,
        Self::Captured,
        Self::OthersMaySee,
        Self::NotesForMe,
        Self::MutedByHost,
        Self::Unheard,
    ];

    /// Its text, with `'` as apostrophe.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Recorded => "This video call is being recorded",
            Self::Transcribed => "This video call is being transcribed",
            Self::Notes => "Gemini is taking notes",
            Self::Captured => "This meeting is being captured by an app",
            Self::OthersMaySee => "Others may see your video differently",
            Self::NotesForMe => "Someone wants to use \"Take notes for me\"",
            Self::MutedByHost => "The host muted you",
            Self::Unheard => "Would you like to try our new layout?",
        }
    }

    /// Whether a participant who dismisses it is removed. In the other dialogs the primary button is the wrong one.
    pub const fn must_be_accepted(self) -> bool {
        !matches!(self, Self::MutedByHost | Self::Unheard)
    }

    /// The text of the primary button.
    pub const fn primary(self) -> &'static str {
        match self {
            Self::OthersMaySee => "Got it",
            Self::NotesForMe => "Allow",
            Self::MutedByHost => "Unmute",
            Self::Unheard => "Try it",
            _ => "Join now",
        }
    }
}
