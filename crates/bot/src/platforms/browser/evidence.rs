//! The evidence of a failed join: the content of the page in words of the landmarks, and a screenshot in which other text is covered.
//!
//! The files are in the job's folder, in `evidence`, so that they are listed, deleted and erased with it. Texts outside of the landmarks may be people's:
//! their lengths replace them. Of an unknown page, the names of its headings and buttons are kept, as in the job's failure.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use meetbot_types::bot::EVIDENCE_FOLDER;
use serde::Serialize;

use super::{
    landmarks::{Landmarks, Sign},
    page::Page,
    survey::{self, Survey},
};
use crate::recording::files::{make_folder, write_whole};

/// How many joins of one attempt keep evidence; a later one replaces the last.
const MOST: u32 = 5;
/// Longer labels and names are not the page's.
const LONGEST_NAME: usize = 40;
/// How many states, channels and errors are listed.
const MOST_NAMES: usize = 100;
/// The most bytes of a screenshot.
const LARGEST_PICTURE: usize = 4 << 20;

/// A join, from the opening of its page to its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Evidence {
    /// The version of this format.
    pub(crate) version: u32,
    /// The day on which the landmarks were written.
    pub(crate) landmarks: String,
    /// Why the join ended, as text; `null` if the bot left by itself.
    pub(crate) ended: Option<String>,
    /// The states of the page, each with its start.
    pub(crate) states: Vec<StateStart>,
    /// How often the button to join was pressed.
    pub(crate) knocks: u32,
    /// The states of the page's connections.
    pub(crate) connections: Vec<String>,
    /// The kinds of the receivers whose encoded frames could not be taken: `audio`, `video`.
    pub(crate) uncaptured: Vec<String>,
    /// The labels of the data channels that were opened.
    pub(crate) channels: Vec<String>,
    /// The kinds of the errors that the page reported.
    pub(crate) errors: Vec<String>,
    /// The last content of the page; `null` if it could not be surveyed.
    pub(crate) page: Option<Shown>,
}

/// A state and its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateStart {
    /// In ms since the page was opened.
    pub(crate) at_ms: u64,
    /// Its name in the landmarks; `null` if the page was in no known state.
    pub(crate) state: Option<String>,
}

impl Evidence {
    /// Empty evidence.
    pub(crate) fn of(landmarks: &Landmarks) -> Self {
        Self { version: 1, landmarks: landmarks.version.clone(), ..Self::default() }
    }

    /// Adds the state of a look.
    pub(crate) fn saw(&mut self, state: Option<&str>, at_ms: u64) {
        let state = state.map(ToOwned::to_owned);
        let is_new = self.states.last().is_none_or(|last| last.state != state);
        if is_new && self.states.len() < MOST_NAMES {
            self.states.push(StateStart { at_ms, state });
        }
    }

    /// Adds the label of an opened data channel.
    pub(crate) fn opened(&mut self, channel: &str) {
        if self.channels.len() < MOST_NAMES {
            self.channels.push(label(channel));
        }
    }

    /// Adds the kind of a receiver whose encoded frames cannot be taken.
    pub(crate) fn cannot_capture(&mut self, kind: &str) {
        if self.uncaptured.len() < MOST_NAMES {
            self.uncaptured.push(label(kind));
        }
    }

    /// Adds the kinds of an error that the page reported.
    pub(crate) fn failed(&mut self, message: &str) {
        let room = MOST_NAMES - self.errors.len().min(MOST_NAMES);
        self.errors.extend(kinds(message).into_iter().take(room));
    }
}

/// A survey without people's texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    host: String,
    path: String,
    headings: Vec<String>,
    lines: Vec<String>,
    dialogs: Vec<Vec<String>>,
    controls: Vec<ShownControl>,
    frames: Vec<ShownFrame>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
struct ShownControl {
    name: String,
    is_field: bool,
    /// A field is not empty.
    filled: bool,
    disabled: bool,
    shown: bool,
    free: bool,
    dialog: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ShownFrame {
    host: String,
    width: u32,
    height: u32,
}

impl Shown {
    /// The content of a page. `is_known` is whether it was in a known state.
    pub(crate) fn of(survey: &Survey, landmarks: &Landmarks, is_known: bool) -> Self {
        let words = words(landmarks);
        let covered = |text: &String| cover(text, &words);
        let named = |text: &String| if is_known { covered(text) } else { text.clone() };
        let all = |texts: &[String]| texts.iter().map(covered).collect();
        let control = |it: &survey::Control| ShownControl {
            name: if it.is_field { covered(&it.name) } else { named(&it.name) },
            is_field: it.is_field,
            filled: !it.value.is_empty(),
            disabled: it.disabled,
            shown: it.shown,
            free: it.free,
            dialog: it.dialog,
        };
        let frame = |it: &survey::Frame| ShownFrame {
            host: url::Url::parse(&it.address)
                .ok()
                .and_then(|url| url.host_str().map(ToOwned::to_owned))
                .unwrap_or_default(),
            width: it.width,
            height: it.height,
        };
        Self {
            host: survey.host.clone(),
            path: survey.path.split('/').map(segment).collect::<Vec<_>>().join("/"),
            headings: survey.headings.iter().map(named).collect(),
            lines: all(&survey.lines),
            dialogs: survey.dialogs.iter().map(|dialog| all(&dialog.lines)).collect(),
            controls: survey.controls.iter().map(control).collect(),
            frames: survey.frames.iter().map(frame).collect(),
        }
    }
}

/// A part of a path, if it looks like a word or a meeting's code; else its length: it may be a secret.
fn segment(part: &str) -> String {
    let is_word = part.len() <= 24 && part.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
    if is_word { part.to_owned() } else { length(part) }
}

/// A label or a name, if it looks like one from a program; else its length.
pub(super) fn label(text: &str) -> String {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() <= LONGEST_NAME && text.bytes().all(is_label) {
        text.to_owned()
    } else {
        length(text)
    }
}

/// The kinds of error in a message, as in `TypeError`; the rest of the message is dropped.
pub(super) fn kinds(message: &str) -> Vec<String> {
    let words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
    let is_kind = |word: &&str| word.len() <= LONGEST_NAME && word.ends_with("Error");
    words.filter(is_kind).map(ToOwned::to_owned).collect()
}

fn length(text: &str) -> String {
    format!("[{} characters]", text.chars().count())
}

/// All words of landmarks and controls.
fn words(landmarks: &Landmarks) -> Vec<&str> {
    let signs = landmarks.states.iter().flat_map(|state| state.any.iter().chain(&state.none));
    let of_signs = signs.filter_map(|sign| match sign {
        Sign::Text { text: words }
        | Sign::Heading { heading: words }
        | Sign::Button { button: words }
        | Sign::Field { field: words } => Some(words.as_str()),
        Sign::Host { .. } | Sign::Frame { .. } => None,
    });
    let of_dialogs = landmarks.dialogs.iter().flat_map(|rule| rule.any.iter().chain(&rule.press));
    let others = of_dialogs.chain(landmarks.controls.all()).map(String::as_str);
    of_signs.chain(others).collect()
}

/// A text with only these words, as whole words; the lengths of the other parts replace them.
fn cover(text: &str, words: &[&str]) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut kept = vec![false; letters.len()];
    // The normalised text: each letter with its original position.
    let mut plain: Vec<(char, usize)> = Vec::new();
    for (place, letter) in letters.iter().enumerate() {
        if letter.is_whitespace() {
            if plain.last().is_some_and(|(last, _)| *last != ' ') {
                plain.push((' ', place));
            }
        } else {
            let straight = if matches!(letter, '\u{2018}' | '\u{2019}') { '\'' } else { *letter };
            plain.extend(straight.to_lowercase().map(|small| (small, place)));
        }
    }
    let ends_word = |place: Option<usize>| {
        place.and_then(|place| plain.get(place)).is_none_or(|(letter, _)| !letter.is_alphanumeric())
    };
    for word in words {
        let word: Vec<char> = survey::plain(word).chars().collect();
        for (at, window) in plain.windows(word.len().max(1)).enumerate() {
            let is_it = window.iter().map(|(letter, _)| letter).eq(&word);
            if is_it && ends_word(at.checked_sub(1)) && ends_word(Some(at + word.len())) {
                kept[window[0].1..=window[window.len() - 1].1].fill(true);
            }
        }
    }
    let pieces = kept.chunk_by(|one, other| one == other);
    let mut at = 0;
    let pieces = pieces.filter_map(|piece| {
        let text: String = letters[at..at + piece.len()].iter().collect();
        at += piece.len();
        match text.trim() {
            "" => None,
            text if piece[0] => Some(text.to_owned()),
            text => Some(length(text)),
        }
    });
    pieces.collect::<Vec<_>>().join(" ")
}

/// Takes the screenshot, and writes both files into the job's folder. `place` is the number of the join in the attempt, from 1.
pub(super) async fn keep(
    evidence: Evidence,
    landmarks: &Landmarks,
    page: &Page,
    folder: &Path,
    (epoch, place): (u32, u32),
) -> io::Result<()> {
    let picture = page.picture(&words(landmarks)).await;
    let picture = picture.map_err(|error| tracing::debug!(%error, "a screenshot failed")).ok();
    let picture = picture.filter(|picture| picture.len() <= LARGEST_PICTURE);
    let folder = folder.join(EVIDENCE_FOLDER);
    let name = format!("evidence-{epoch}-{}", place.min(MOST));
    let write = move || {
        make_folder(&folder)?;
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        write_whole(&file("json"), |file| Ok(serde_json::to_writer_pretty(file, &evidence)?))?;
        match picture {
            Some(picture) => write_whole(&file("png"), |file| file.write_all(&picture)),
            // The screenshot of an earlier join shows another page.
            None => fs::remove_file(file("png")).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }),
        }
    };
    tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::browser::{
        landmarks::tests::GOOGLE_MEET,
        survey::{Control, Dialog, Frame},
    };

    #[test]
    fn only_words_of_landmarks_are_kept_of_a_text() {
        let words = ["denied your request to join", "You can't join this video call", "Join now"];
        for (text, covered) in [
            ("Ann Host denied your request to join", "[8 characters] denied your request to join"),
            ("YOU CAN\u{2019}T  join this video call", "YOU CAN\u{2019}T  join this video call"),
            (
                "Ann: Join now, please. Join nowhere. Join now",
                "[4 characters] Join now [23 characters] Join now",
            ),
            ("The passcode is 4711", "[20 characters]"),
            ("\u{130}stanbul Join now", "[8 characters] Join now"),
            ("", ""),
        ] {
            assert_eq!(cover(text, &words), covered, "{text}");
        }
    }

    #[test]
    fn evidence_contains_no_secrets_and_no_texts_of_people() {
        let landmarks = Landmarks::read(GOOGLE_MEET).unwrap();
        let named = |name: &str| Control { name: name.into(), shown: true, ..Control::default() };
        let survey = Survey {
            host: "meet.google.com".into(),
            path: "/abc-mnop-xyz/hush-token-1/hush2".into(),
            headings: vec!["Hush board meeting".into(), "Ready to join?".into()],
            lines: vec!["Hush Host is in this call".into(), "Ask to join".into()],
            dialogs: vec![Dialog { lines: vec!["Hush is taking notes".into()] }],
            controls: vec![
                named("Ask to join"),
                named("Pin Hush to your main screen"),
                Control { is_field: true, value: "hush".into(), ..named("Your name") },
            ],
            frames: vec![Frame {
                address: "https://www.google.com/recaptcha/hush".into(),
                width: 304,
                height: 78,
            }],
        };
        let mut evidence = Evidence::of(&landmarks);
        evidence.saw(Some("prejoin"), 250);
        evidence.saw(Some("prejoin"), 500);
        evidence.saw(None, 750);
        evidence.opened("collections");
        evidence.opened("hush?token=1");
        evidence.failed("Uncaught DisconnectedError: EndCause = 72 at https://x.y/?hush=1");
        evidence.page = Some(Shown::of(&survey, &landmarks, true));
        let text = serde_json::to_string(&evidence).unwrap();
        assert!(!text.to_lowercase().contains("hush"), "{text}");
        let shown = evidence.page.as_ref().unwrap();
        assert_eq!(shown.headings, ["[18 characters]", "Ready to join [1 characters]"]);
        assert_eq!(shown.dialogs, [["[4 characters] is taking notes"]]);
        assert_eq!(shown.controls[1].name, "[28 characters]");
        assert!(shown.controls[2].filled && shown.controls[2].name == "Your name");
        assert_eq!(shown.frames[0].host, "www.google.com");
        assert_eq!(shown.path, "/abc-mnop-xyz/[12 characters]/[5 characters]");
        let states: Vec<_> = evidence.states.iter().map(|seen| seen.at_ms).collect();
        assert_eq!(states, [250, 750]);
        assert_eq!(evidence.errors, ["DisconnectedError"]);
        // Of an unknown page, headings and buttons are kept.
        let unknown = Shown::of(&survey, &landmarks, false);
        assert_eq!(unknown.headings[0], "Hush board meeting");
        assert_eq!(unknown.lines[0], "[25 characters]");
    }
}
