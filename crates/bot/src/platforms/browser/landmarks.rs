//! The landmarks of a product: how to recognise each state of its page. They are data, validated strictly, so that a mistake is found before a bot uses them.

use std::collections::HashSet;

use meetbot_types::{FailureCode, bot::Lobby};
use serde::Deserialize;

/// The landmarks of one product.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Landmarks {
    /// The day on which they were written.
    pub(crate) version: String,
    /// The hosts of the product's pages.
    pub(crate) host: String,
    pub(crate) words_of_people: Vec<String>,
    pub(crate) controls: Controls,
    pub(crate) bounds: Bounds,
    #[serde(rename = "dialog")]
    pub(crate) dialogs: Vec<DialogRule>,
    /// The states, in order: the first that is recognised counts.
    #[serde(rename = "state")]
    pub(crate) states: Vec<State>,
}

/// The accessible names of the buttons and fields that the bot uses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Controls {
    pub(crate) name: Vec<String>,
    pub(crate) microphone_is_on: Vec<String>,
    pub(crate) camera_is_on: Vec<String>,
    pub(crate) join: Vec<String>,
    pub(crate) leave: Vec<String>,
    pub(crate) leave_for_good: Vec<String>,
    pub(crate) open_chat: Vec<String>,
    pub(crate) compose: Vec<String>,
    pub(crate) turn_on_captions: Vec<String>,
    pub(crate) captions_are_on: Vec<String>,
    pub(crate) dismiss: Vec<String>,
}

impl Controls {
    /// All names.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.lists().into_iter().flat_map(|(_, list)| list)
    }

    /// All names, by the names of their lists.
    pub(crate) fn lists(&self) -> [(&'static str, &Vec<String>); 11] {
        let Self {
            name,
            microphone_is_on,
            camera_is_on,
            join,
            leave,
            leave_for_good,
            open_chat,
            compose,
            turn_on_captions,
            captions_are_on,
            dismiss,
        } = self;
        [
            ("controls.name", name),
            ("controls.microphone_is_on", microphone_is_on),
            ("controls.camera_is_on", camera_is_on),
            ("controls.join", join),
            ("controls.leave", leave),
            ("controls.leave_for_good", leave_for_good),
            ("controls.open_chat", open_chat),
            ("controls.compose", compose),
            ("controls.turn_on_captions", turn_on_captions),
            ("controls.captions_are_on", captions_are_on),
            ("controls.dismiss", dismiss),
        ]
    }
}

/// Timeouts of the page, in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "each says its unit")]
pub(crate) struct Bounds {
    pub(crate) arriving_s: u64,
    pub(crate) knock_s: u64,
    pub(crate) unknown_s: u64,
    pub(crate) wire_s: u64,
    pub(crate) silent_s: u64,
}

/// A modal dialog, and the button that the bot presses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DialogRule {
    pub(crate) any: Vec<String>,
    pub(crate) press: Vec<String>,
    /// When it was last observed.
    #[serde(rename = "seen")]
    _seen: String,
}

/// A state of the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) any: Vec<Sign>,
    #[serde(default)]
    pub(crate) none: Vec<Sign>,
    /// In how many consecutive looks it must show.
    pub(crate) reads: u32,
    pub(crate) verdict: Verdict,
    /// Its meaning, for readers.
    pub(crate) sentence: String,
    #[serde(rename = "seen")]
    _seen: String,
}

/// A sign of a state. Words are compared as whole words, without case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Sign {
    /// Words in a visible line, dialogs included.
    Text { text: String },
    /// Words in a heading.
    Heading { heading: String },
    /// The beginning of a button's name. The button may be hidden, as toolbars are.
    Button { button: String },
    /// A usable field with this name.
    Field { field: String },
    /// The host of the page.
    Host { host: String },
    /// A frame whose address contains this, of at least this size.
    Frame { frame: String, width: u32, height: u32 },
}

impl Sign {
    fn words(&self) -> &str {
        match self {
            Self::Text { text: words }
            | Self::Heading { heading: words }
            | Self::Button { button: words }
            | Self::Field { field: words }
            | Self::Host { host: words }
            | Self::Frame { frame: words, .. } => words,
        }
    }
}

/// The meaning of a state for the bot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The bot is refused.
    Refused(FailureCode),
    /// This browser is refused; a fresh one is tried once.
    Blocked,
    /// Nobody answered: the bot may ask again.
    Unanswered,
    /// The bot is in the lobby.
    Lobby(Lobby),
    /// The page asks for a name, and whether to join.
    Prejoin,
    /// The page shows the meeting.
    Inside,
    Removed,
    Ended,
    /// The page shows that the bot has left, without a reason.
    Left,
    /// Another try may help.
    Lost,
    /// The bot must wait.
    Wait,
}

/// A mistake in landmarks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mistake {
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error("{0} is empty")]
    Empty(String),
    #[error("{0} is no failure code")]
    Code(String),
    #[error("{0} is no reason to wait at the door")]
    Lobby(String),
    #[error("there are two states `{0}`")]
    Twice(String),
    #[error(
        "state `{later}` is never reached: `{earlier}` comes first and is recognised by all of its signs"
    )]
    Unreachable { earlier: String, later: String },
    #[error("no state has the verdict `{0}`")]
    Without(&'static str),
}

impl Landmarks {
    /// Parses and validates landmarks.
    pub(crate) fn read(text: &str) -> Result<Self, Mistake> {
        let landmarks: Self = toml::from_str(text)?;
        landmarks.check()?;
        Ok(landmarks)
    }

    fn check(&self) -> Result<(), Mistake> {
        filled("words_of_people", &self.words_of_people)?;
        for (place, list) in self.controls.lists() {
            filled(place, list)?;
        }
        for rule in &self.dialogs {
            filled("dialog.any", &rule.any)?;
            filled("dialog.press", &rule.press)?;
        }
        let mut names = HashSet::new();
        for (at, state) in self.states.iter().enumerate() {
            let name = &state.name;
            if !names.insert(name) {
                return Err(Mistake::Twice(name.clone()));
            }
            let signs: Vec<_> = state.any.iter().map(|sign| sign.words().to_owned()).collect();
            filled(&format!("state `{name}`"), &signs)?;
            if state.none.iter().any(|sign| sign.words().trim().is_empty()) || state.reads == 0 {
                return Err(Mistake::Empty(format!("a sign or `reads` of state `{name}`")));
            }
            match &state.verdict {
                Verdict::Refused(FailureCode::Other(code)) => {
                    return Err(Mistake::Code(code.to_string()));
                }
                Verdict::Lobby(Lobby::Other(lobby)) => {
                    return Err(Mistake::Lobby(lobby.to_string()));
                }
                _ => {}
            }
            let hides = |earlier: &&State| {
                earlier.none.is_empty() && state.any.iter().all(|sign| earlier.any.contains(sign))
            };
            if let Some(earlier) = self.states[..at].iter().find(hides) {
                let earlier = earlier.name.clone();
                return Err(Mistake::Unreachable { earlier, later: name.clone() });
            }
        }
        for (word, verdict) in [("prejoin", Verdict::Prejoin), ("inside", Verdict::Inside)] {
            if self.states.iter().all(|state| state.verdict != verdict) {
                return Err(Mistake::Without(word));
            }
        }
        Ok(())
    }
}

fn filled(place: &str, list: &[String]) -> Result<(), Mistake> {
    if list.is_empty() || list.iter().any(|words| words.trim().is_empty()) {
        return Err(Mistake::Empty(place.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const GOOGLE_MEET: &str = include_str!("products/google_meet/landmarks.toml");

    #[test]
    fn the_landmarks_of_every_product_are_read() {
        let landmarks = Landmarks::read(GOOGLE_MEET).unwrap();
        assert_eq!(landmarks.host, "meet.google.com");
        assert!(landmarks.states.len() > 12);
    }

    #[test]
    fn a_mistake_in_landmarks_is_found_when_they_are_read() {
        for (from, to, what) in [
            ("reads = 2\nverdict = { refused", "raeds = 2\nverdict = { refused", "unknown field"),
            ("leave = [\"Leave call\"]", "leave = []", "controls.leave is empty"),
            ("leave = [\"Leave call\"]", "leave = [\" \"]", "controls.leave is empty"),
            (
                "refused = \"auth_failure\"",
                "refused = \"auth_failed\"",
                "auth_failed is no failure code",
            ),
            ("lobby = \"waiting_room\"", "lobby = \"lobby\"", "lobby is no reason"),
            ("name = \"trouble\"", "name = \"blocked\"", "two states `blocked`"),
            ("verdict = \"inside\"", "verdict = \"wait\"", "no state has the verdict `inside`"),
            ("{ text = \"meeting is full\" }", "{ txt = \"meeting is full\" }", "did not match"),
            ("any = [{ text = \"meeting is full\" }]", "any = []", "state `full` is empty"),
            (
                "{ text = \"meeting is full\" }",
                "{ text = \"Check your meeting code\" }",
                "state `full` is never reached: `wrong_code`",
            ),
            (
                "reads = 1\nverdict = \"inside\"",
                "reads = 0\nverdict = \"inside\"",
                "`reads` of state `inside`",
            ),
        ] {
            let changed = GOOGLE_MEET.replacen(from, to, 1);
            assert_ne!(changed, GOOGLE_MEET, "{from}");
            let mistake = Landmarks::read(&changed).unwrap_err().to_string();
            assert!(mistake.contains(what), "{from}: {mistake}");
        }
    }
}
