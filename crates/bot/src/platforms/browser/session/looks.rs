//! What a look at the page leads to. Pure.

use std::time::{Duration, Instant};

use meetbot_types::{Failure, FailureCode};

use super::{
    DEAD, LOOKS_ARRIVING, LOOKS_AT_DOOR, LOOKS_INSIDE, Mark, Output, Phase, Session, door,
};
use crate::{
    meeting::MeetingEvent,
    platforms::browser::{
        landmarks::{State, Verdict},
        page::Act,
        survey::Survey,
    },
};

impl Session {
    /// A look at the page.
    pub(crate) fn look(&mut self, survey: &Survey, now: Instant) {
        self.failed_looks = 0;
        let is_in = self.inside_since.is_some() || self.phase != Phase::Outside;
        let state = self.history.look(self.landmarks, survey, is_in, now);
        if self.phase == Phase::Outside {
            let since = now.saturating_duration_since(self.opened);
            let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            self.evidence.saw(state.map(|state| state.name.as_str()), at_ms);
            self.last_look = Some((survey.clone(), self.history.unknown_since().is_none()));
        }
        let looks = match self.phase {
            Phase::Outside if self.door.knocked() => LOOKS_AT_DOOR,
            Phase::Outside | Phase::Leaving { .. } => LOOKS_ARRIVING,
            Phase::Inside | Phase::Over => LOOKS_INSIDE,
        };
        self.next_look = now + looks;
        if survey.controls.is_empty() && survey.lines.is_empty() {
            self.blank_since.get_or_insert(now);
        } else {
            (self.blank_since, self.fault) = (None, false);
        }
        match self.phase {
            Phase::Over => {}
            Phase::Leaving { .. } => self.go_on_leaving(state, survey),
            Phase::Outside | Phase::Inside => {
                if let Some(state) = state {
                    self.judge(state, survey, now);
                } else {
                    self.look_at_unknown(survey, now);
                }
            }
        }
    }

    fn judge(&mut self, state: &State, survey: &Survey, now: Instant) {
        let is_inside = self.phase == Phase::Inside;
        let failure = |code| Failure::new(code, state.sentence.clone());
        if !matches!(state.verdict, Verdict::Inside) {
            self.inside_since = None;
        }
        match &state.verdict {
            Verdict::Refused(code) if !is_inside => {
                self.end(MeetingEvent::Refused(failure(code.clone())));
            }
            Verdict::Blocked if !is_inside && self.earlier.blocked => {
                self.end(MeetingEvent::Refused(failure(FailureCode::BotBlocked)));
            }
            Verdict::Blocked if !is_inside => {
                self.mark = Some(Mark::Blocked);
                self.lose(&state.sentence);
            }
            Verdict::Unanswered if !is_inside => {
                // Nobody is asked any more, so that a new knock takes no place in a queue away.
                self.output.push_back(Output::Act(Act::Open(self.url.clone())));
                self.door.again(now);
            }
            Verdict::Removed | Verdict::Left if is_inside => self.end(MeetingEvent::Removed),
            Verdict::Removed | Verdict::Left => {
                self.end(MeetingEvent::Refused(failure(FailureCode::HostDeniedAdmission)));
            }
            Verdict::Ended => self.end(MeetingEvent::Ended),
            Verdict::Lost | Verdict::Refused(_) | Verdict::Blocked | Verdict::Unanswered => {
                self.lose(&state.sentence);
            }
            Verdict::Lobby(lobby) if !is_inside => {
                self.door.waits();
                self.tell(MeetingEvent::Lobby(lobby.clone()));
                self.answer_dialog(survey);
            }
            Verdict::Prejoin if !is_inside => {
                if !self.answer_dialog(survey) {
                    self.prejoin(survey, now);
                }
            }
            Verdict::Inside => {
                self.inside_since.get_or_insert(now);
                if !self.answer_dialog(survey) {
                    self.admit(now);
                    self.attend(survey, now);
                }
            }
            Verdict::Wait | Verdict::Lobby(_) | Verdict::Prejoin => {
                self.answer_dialog(survey);
            }
        }
    }

    /// In the meeting: devices stay off, and the chat is written.
    fn attend(&mut self, survey: &Survey, now: Instant) {
        if self.phase != Phase::Inside {
            return;
        }
        let controls = &self.landmarks.controls;
        let devices = [&controls.microphone_is_on, &controls.camera_is_on];
        if let Some(on) = devices.into_iter().find_map(|names| survey.control(false, names)) {
            self.output.push_back(Output::Act(Act::Click(on.key.clone())));
        } else {
            self.chat.look(controls, survey, now, &mut self.output);
            if self.chat.is_waiting() {
                self.next_look = now + LOOKS_ARRIVING;
            }
        }
    }

    fn prejoin(&mut self, survey: &Survey, now: Instant) {
        match self.door.look(self.landmarks, survey, now) {
            Ok(act) => self.output.extend(act.map(Output::Act)),
            Err(why) => self.give_up(&why, survey),
        }
    }

    /// A page that nobody knows is no failure yet.
    fn look_at_unknown(&mut self, survey: &Survey, now: Instant) {
        let bounds = &self.landmarks.bounds;
        let blank = self.blank_since.map(|since| now.saturating_duration_since(since));
        // A page that is loading shows nothing either.
        let knocked = self.door.knocked();
        let is_dead = |blank| match (knocked, self.fault) {
            (true, true) => blank > LOOKS_AT_DOOR,
            (true, false) | (false, true) => blank >= DEAD,
            (false, false) => false,
        };
        if blank.is_some_and(is_dead) {
            return self.die("the meeting's page went dead");
        }
        if self.door.knocked() && survey.host != self.landmarks.host {
            return self.die("the browser was led away from the meeting's page");
        }
        let unknown =
            self.history.unknown_since().map(|since| now.saturating_duration_since(since));
        if self.phase == Phase::Outside && unknown >= Some(Duration::from_secs(bounds.unknown_s)) {
            return self.give_up("the meeting's page shows nothing known", survey);
        }
        self.answer_dialog(survey);
    }

    /// Presses what the topmost dialog asks for; one that nobody knows is closed, never by its first button. Answers whether there is one.
    fn answer_dialog(&mut self, survey: &Survey) -> bool {
        let Some((place, dialog)) = survey.dialogs.iter().enumerate().next_back() else {
            return false;
        };
        let act = door::answer(self.landmarks, survey, place, dialog);
        self.output.push_back(Output::Act(act));
        true
    }

    fn go_on_leaving(&mut self, state: Option<&State>, survey: &Survey) {
        let controls = &self.landmarks.controls;
        if let Some(button) = survey.control(false, &controls.leave_for_good) {
            self.output.push_back(Output::Act(Act::Click(button.key.clone())));
        } else if self.left_pressed {
            if state.is_some_and(|state| {
                matches!(state.verdict, Verdict::Left | Verdict::Ended | Verdict::Removed)
            }) {
                self.phase = Phase::Over;
            }
        } else if let Some(button) = survey.control(false, &controls.leave) {
            self.output.push_back(Output::Act(Act::Click(button.key.clone())));
            self.left_pressed = true;
        } else {
            self.output.push_back(Output::Act(Act::Nudge));
        }
    }
}
