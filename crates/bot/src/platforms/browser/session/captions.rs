//! The meeting's captions: joins the versions of each line, and decides when a line is complete. Pure.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::Output;
use crate::{
    bounds,
    platforms::browser::{
        landmarks::Controls, page::Action, products::google_meet::captions::Version, survey::Survey,
    },
};

/// Without a newer version for this long, a line is complete, and its number may be used again for another line.
const COMPLETE_AFTER: Duration = Duration::from_secs(15);
/// The same for a version that is marked as the last one; the mark is not reliable.
const LAST_COMPLETE_AFTER: Duration = Duration::from_secs(2);
/// A longer text, in bytes, is a line of its own even if the speaker continues.
const LONG: usize = 1_000;
/// How many lines are joined at the same time.
const MOST_LINES: usize = 200;
/// How often the bot tries to switch captions on: by the button, or by moving the pointer, which shows the button.
const MOST_TRIES: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Captions {
    /// Lines by device and number.
    lines: HashMap<(String, u64), Line>,
    tries: u32,
}

#[derive(Debug)]
struct Line {
    version: u64,
    text: String,
    is_last: bool,
    /// The beginning of the text, which was given out already.
    given: String,
    /// When the rest of the text began.
    began: Instant,
    changed: Instant,
}

impl Line {
    fn has_more(&self) -> bool {
        self.text != self.given
    }

    /// When it is complete.
    fn due(&self) -> Instant {
        self.changed + if self.is_last { LAST_COMPLETE_AFTER } else { COMPLETE_AFTER }
    }

    /// Takes the text that was not given out yet.
    fn take(&mut self, device: &str) -> Option<Spoken> {
        let rest = rest(&self.given, &self.text).trim().to_owned();
        self.given.clone_from(&self.text);
        let (device, began, ended) = (device.to_owned(), self.began, self.changed);
        (!rest.is_empty()).then(|| Spoken { device, began, ended, text: bounds::CAPTION.cut(rest) })
    }
}

/// The part of a text that follows the given one, from the first changed word on. A text that is not its continuation is returned whole.
fn rest<'a>(given: &str, text: &'a str) -> &'a str {
    let same = given.chars().zip(text.chars()).take_while(|(one, other)| one == other);
    let same: usize = same.map(|(letter, _)| letter.len_utf8()).sum();
    if same == given.len() {
        return &text[same..];
    }
    if same * 2 < given.len() {
        return text;
    }
    let word = text[..same].rfind(char::is_whitespace).unwrap_or_default();
    &text[word..]
}

/// A complete line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) device: String,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) text: String,
}

impl Captions {
    /// When to call [`Captions::complete`].
    pub(super) fn wake(&self) -> Option<Instant> {
        self.lines.values().filter(|line| line.has_more()).map(Line::due).min()
    }

    /// Handles a version of a line. Returns a line that is complete by it.
    pub(super) fn take(&mut self, version: Version, now: Instant) -> Option<Spoken> {
        self.forget(now);
        let key = (version.device, version.line);
        let mut complete = None;
        if self.lines.len() >= MOST_LINES && !self.lines.contains_key(&key) {
            let oldest = self.lines.iter().min_by_key(|(_, line)| line.changed);
            let oldest = oldest.map(|(key, _)| key.clone());
            complete = oldest.and_then(|key| self.lines.remove(&key)?.take(&key.0));
        }
        let line = self.lines.entry(key.clone()).or_insert_with(|| Line {
            version: 0,
            text: String::new(),
            is_last: false,
            given: String::new(),
            began: now,
            changed: now,
        });
        if version.number <= line.version && !line.text.is_empty() {
            return complete;
        }
        if !line.has_more() {
            line.began = now;
        }
        (line.version, line.is_last, line.changed) = (version.number, version.is_last, now);
        line.text = version.text;
        if line.text.len() >= line.given.len() + LONG {
            complete = complete.or_else(|| line.take(&key.0));
        }
        complete
    }

    /// Takes the lines that are complete.
    pub(super) fn complete(&mut self, now: Instant) -> Vec<Spoken> {
        self.take_if(|line| line.due() <= now)
    }

    /// Takes all lines: the meeting is over for the bot.
    pub(super) fn finish(&mut self) -> Vec<Spoken> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, is_it: impl Fn(&Line) -> bool) -> Vec<Spoken> {
        let lines = self.lines.iter_mut().filter(|(_, line)| line.has_more() && is_it(line));
        let mut spoken: Vec<_> = lines.filter_map(|(key, line)| line.take(&key.0)).collect();
        spoken.sort_by(|one, other| (one.began, &one.device).cmp(&(other.began, &other.device)));
        spoken
    }

    /// Removes lines whose numbers may be used again.
    fn forget(&mut self, now: Instant) {
        self.lines.retain(|_, line| line.has_more() || now < line.changed + COMPLETE_AFTER);
    }

    /// Handles a look at the page: switches captions on. `is_on` is whether their channel is open.
    pub(super) fn look(
        &mut self,
        controls: &Controls,
        survey: &Survey,
        is_on: bool,
        output: &mut VecDeque<Output>,
    ) {
        if is_on || self.tries >= MOST_TRIES {
            return;
        }
        if survey.control(false, &controls.captions_are_on).is_some() {
            // The page opens the channel itself, again after each new connection.
            return;
        }
        self.tries += 1;
        let button = survey.control(false, &controls.turn_on_captions);
        let act = button.map_or(Action::Nudge, |button| Action::Click(button.key.clone()));
        output.push_back(Output::Action(act));
        if self.tries == MOST_TRIES {
            tracing::warn!("the meeting's captions cannot be switched on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Captions, and their simulated time.
    struct Said {
        captions: Captions,
        start: Instant,
        ms: u64,
    }

    impl Said {
        fn new() -> Self {
            Self { captions: Captions::default(), start: clock::now(), ms: 0 }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.ms)
        }

        /// A version of a line of Ann.
        fn says(&mut self, line: u64, number: u64, text: &str, is_last: bool) -> Vec<String> {
            let (device, text) = ("ann".to_owned(), text.to_owned());
            let version = Version { device, line, number, text, is_last };
            let now = self.now();
            let said = self.captions.take(version, now);
            said.into_iter().map(|spoken| self.text(&spoken)).collect()
        }

        /// What is complete after a pause.
        fn after(&mut self, ms: u64) -> Vec<String> {
            self.ms += ms;
            let said = self.captions.complete(self.now());
            said.into_iter().map(|spoken| self.text(&spoken)).collect()
        }

        fn text(&self, spoken: &Spoken) -> String {
            let ms = |at: Instant| at.duration_since(self.start).as_millis();
            format!("{}-{} {}", ms(spoken.began), ms(spoken.ended), spoken.text)
        }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn the_newest_version_of_a_line_is_given_out_once_it_is_complete() {
        let mut said = Said::new();
        assert_eq!(said.says(1, 1, "shall", false), NOTHING);
        said.ms = 400;
        said.says(1, 3, "Shall we begin?", false);
        said.says(1, 2, "shall wee", false);
        assert_eq!(said.captions.wake(), Some(said.start + Duration::from_millis(15_400)));
        assert_eq!(said.after(14_999), NOTHING);
        assert_eq!(said.after(1), ["0-400 Shall we begin?"]);
        assert_eq!((said.after(60_000), said.captions.wake()), (vec![], None));
        // The number is used again for another line, whose versions begin again.
        said.says(1, 1, "Yes", true);
        assert_eq!(said.after(1_999), NOTHING);
        assert_eq!(said.after(1), ["75400-75400 Yes"]);
    }

    #[test]
    fn a_line_that_continues_after_it_was_given_out_gives_the_rest() {
        let mut said = Said::new();
        said.says(1, 1, "So we go", true);
        assert_eq!(said.after(2_000), ["0-0 So we go"]);
        said.says(1, 1, "So we go", true);
        assert_eq!(said.after(3_000), NOTHING, "a repeated version is no new line");
        said.says(1, 2, "So we go home", true);
        assert_eq!(said.after(2_000), ["5000-5000 home"]);
        for (given, text, more) in [
            ("So we go", "So we gather", " gather"),
            ("So we go", "No", "No"),
            ("", "So", "So"),
            ("Gr\u{fc}n", "Gr\u{fc}ne", "e"),
            ("\u{e4}\u{f6}", "\u{e4}\u{fc}", "\u{e4}\u{fc}"),
            ("So we go", "So we", " we"),
        ] {
            assert_eq!(rest(given, text), more, "{given} {text}");
        }
    }

    #[test]
    fn a_long_speech_and_too_many_lines_are_given_out_at_once() {
        let mut said = Said::new();
        let long = "word ".repeat(LONG / 5);
        assert_eq!(said.says(1, 1, &long, false), [format!("0-0 {}", long.trim())]);
        assert_eq!(said.says(1, 2, &format!("{long}more"), false), NOTHING);
        assert_eq!(said.after(15_000), ["0-0 more"]);
        for line in 0..MOST_LINES as u64 {
            assert_eq!(said.says(100 + line, 1, "one", false), NOTHING);
            said.ms += 1;
        }
        assert_eq!(said.says(1_000, 1, "two", false), ["15000-15000 one"]);
        assert!(said.captions.lines.len() <= MOST_LINES);
        assert_eq!(said.captions.finish().len(), MOST_LINES);
        assert!(said.captions.finish().is_empty());
    }
}
