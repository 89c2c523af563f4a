//! Recognises the state of a page from surveys. Pure.

use std::time::Instant;

use super::{
    landmarks::{Landmarks, Sign, State, Verdict},
    survey::{Survey, begins, holds},
};

/// The state that a page shows, as an index into the landmarks; `None` if it is unknown.
///
/// After the page has shown the meeting (`is_in`), all other states are ignored while it still shows a sign of the meeting: people can write any text, and
/// it cannot always be distinguished from the page's.
fn recognise(landmarks: &Landmarks, survey: &Survey, is_in: bool) -> Option<usize> {
    let shows = |state: &State| {
        state.any.iter().any(|sign| is_there(sign, survey))
            && !state.none.iter().any(|sign| is_there(sign, survey))
    };
    let inside = |state: &State| state.verdict == Verdict::Inside && shows(state);
    let inside = landmarks.states.iter().position(inside).filter(|_| is_in);
    inside.or_else(|| landmarks.states.iter().position(shows))
}

fn is_there(sign: &Sign, survey: &Survey) -> bool {
    match sign {
        Sign::Text { text } => {
            let in_dialogs = survey.dialogs.iter().flat_map(|dialog| &dialog.lines);
            let lines = survey.lines.iter().chain(&survey.headings).chain(in_dialogs);
            lines.into_iter().any(|line| holds(line, text))
        }
        Sign::Heading { heading } => survey.headings.iter().any(|line| holds(line, heading)),
        Sign::Button { button } => {
            survey.controls.iter().any(|it| !it.is_field && begins(&it.name, button))
        }
        Sign::Field { field } => {
            survey.controls.iter().any(|it| it.is_field && it.shown && begins(&it.name, field))
        }
        Sign::Host { host } => survey.host == *host,
        Sign::Frame { frame, width, height } => survey.frames.iter().any(|it| {
            it.address.contains(frame.as_str()) && it.width >= *width && it.height >= *height
        }),
    }
}

/// The history of looks.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The state of the last look, and in how many consecutive looks it was shown.
    last: Option<(usize, u32)>,
    /// Since when the page is in no known state.
    unknown_since: Option<Instant>,
}

impl History {
    /// Handles a look at the page. Returns its state, once it was shown in enough looks.
    pub(crate) fn look<'a>(
        &mut self,
        landmarks: &'a Landmarks,
        survey: &Survey,
        is_in: bool,
        now: Instant,
    ) -> Option<&'a State> {
        let Some(found) = recognise(landmarks, survey, is_in) else {
            self.last = None;
            self.unknown_since.get_or_insert(now);
            return None;
        };
        self.unknown_since = None;
        let reads = match self.last {
            Some((last, reads)) if last == found => reads + 1,
            _ => 1,
        };
        self.last = Some((found, reads));
        let state = &landmarks.states[found];
        (reads >= state.reads).then_some(state)
    }

    /// Since when the page is in no known state.
    pub(crate) const fn unknown_since(&self) -> Option<Instant> {
        self.unknown_since
    }
}

#[cfg(test)]
mod tests;
