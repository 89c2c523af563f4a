//! Handles looks at the page. Pure.

use std::time::{Duration, Instant};

use meetbot_types::{Failure, FailureCode};

use super::{
    EMPTY_PAGE_TIMEOUT, LOOK_EVERY_INSIDE, LOOK_EVERY_JOINING, LOOK_EVERY_LOBBY, Mark, Output,
    Phase, Session, join_flow,
};
use crate::{
    clock::ms_between,
    meeting::MeetingEvent,
    platforms::browser::{
        landmarks::{State, Verdict},
        page::Action,
        products::google_meet::captions,
        survey::Survey,
    },
};

/// In how many looks in a row a page is that of a guest before the login counts as lost.
const GUEST_LOOKS: u32 = 3;

impl Session {
    /// Handles a look at the page.
    pub(crate) fn look(&mut self, survey: &Survey, now: Instant) {
        self.failed_looks = 0;
        let is_in = self.inside_since.is_some() || self.phase != Phase::Outside;
        let state = self.history.look(self.landmarks, survey, is_in, now);
        if self.phase == Phase::Outside {
            let at_ms = ms_between(self.opened, now);
            self.evidence.saw(state.map(|state| state.name.as_str()), at_ms);
            self.last_look = Some((survey.clone(), self.history.unknown_since().is_none()));
        }
        let looks = match self.phase {
            Phase::Outside if self.join_flow.knocked() => LOOK_EVERY_LOBBY,
            Phase::Outside | Phase::Leaving { .. } => LOOK_EVERY_JOINING,
            Phase::Inside | Phase::Over => LOOK_EVERY_INSIDE,
        };
        self.next_look = now + looks;
        if survey.controls.is_empty() && survey.lines.is_empty() {
            self.blank_since.get_or_insert(now);
        } else {
            (self.blank_since, self.fault) = (None, false);
        }
        match self.phase {
            Phase::Over => {}
            Phase::Leaving { .. } => self.continue_leaving(state, survey),
            Phase::Outside | Phase::Inside => {
                if let Some(state) = state {
                    self.judge(state, survey, now);
                } else {
                    self.handle_unknown(survey, now);
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
            Verdict::Refused(FailureCode::AuthFailure) if !is_inside && self.account.is_some() => {
                let account = self.account.clone().unwrap_or_default();
                self.lose_login(&account);
            }
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
                // The old request is over, so a new one does not take a second place in the host's queue.
                self.output.push_back(Output::Action(Action::Open(self.url.clone())));
                self.join_flow.again(now);
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
                self.join_flow.waits();
                self.emit(MeetingEvent::Lobby(lobby.clone()));
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

    /// In the meeting: keeps devices off, writes the chat, and switches captions on.
    fn attend(&mut self, survey: &Survey, now: Instant) {
        if self.phase != Phase::Inside {
            return;
        }
        let controls = &self.landmarks.controls;
        let devices = [&controls.microphone_is_on, &controls.camera_is_on];
        if let Some(on) = devices.into_iter().find_map(|names| survey.control(false, names)) {
            self.output.push_back(Output::Action(Action::Click(on.key.clone())));
        } else {
            self.chat.look(controls, survey, now, &mut self.output);
            let is_on = self.channels.values().any(|label| captions::is_channel(label));
            self.captions.look(controls, survey, is_on, &mut self.output);
            if self.chat.is_waiting() {
                self.next_look = now + LOOK_EVERY_JOINING;
            }
        }
    }

    fn prejoin(&mut self, survey: &Survey, now: Instant) {
        if let Some(account) = self.account.clone() {
            let asks_for_name = survey.control(true, &self.landmarks.controls.name).is_some();
            self.guest_looks = if asks_for_name { self.guest_looks + 1 } else { 0 };
            if self.guest_looks >= GUEST_LOOKS {
                return self.lose_login(&account);
            }
            if asks_for_name {
                return;
            }
        }
        match self.join_flow.look(self.landmarks, survey, now) {
            Ok(act) => self.output.extend(act.map(Output::Action)),
            Err(why) => self.give_up(&why, survey),
        }
    }

    /// An unknown page fails only after a while.
    fn handle_unknown(&mut self, survey: &Survey, now: Instant) {
        let bounds = &self.landmarks.bounds;
        let blank = self.blank_since.map(|since| now.saturating_duration_since(since));
        // A page that is loading is also empty.
        let knocked = self.join_flow.knocked();
        let is_dead = |blank| match (knocked, self.fault) {
            (true, true) => blank > LOOK_EVERY_LOBBY,
            (true, false) | (false, true) => blank >= EMPTY_PAGE_TIMEOUT,
            (false, false) => false,
        };
        if blank.is_some_and(is_dead) {
            return self.die("the meeting's page went dead");
        }
        if self.join_flow.knocked() && survey.host != self.landmarks.host {
            return self.die("the browser was led away from the meeting's page");
        }
        let unknown =
            self.history.unknown_since().map(|since| now.saturating_duration_since(since));
        if self.phase == Phase::Outside && unknown >= Some(Duration::from_secs(bounds.unknown_s)) {
            return self.give_up("the meeting's page shows nothing known", survey);
        }
        self.answer_dialog(survey);
    }

    /// Answers the topmost dialog by its rule; an unknown one is closed, never with its first button. Returns whether there is one.
    fn answer_dialog(&mut self, survey: &Survey) -> bool {
        let Some((place, dialog)) = survey.dialogs.iter().enumerate().next_back() else {
            return false;
        };
        let act = join_flow::answer(self.landmarks, survey, place, dialog);
        self.output.push_back(Output::Action(act));
        true
    }

    fn continue_leaving(&mut self, state: Option<&State>, survey: &Survey) {
        let controls = &self.landmarks.controls;
        if let Some(button) = survey.control(false, &controls.leave_for_good) {
            self.output.push_back(Output::Action(Action::Click(button.key.clone())));
        } else if self.left_pressed {
            if state.is_some_and(|state| {
                matches!(state.verdict, Verdict::Left | Verdict::Ended | Verdict::Removed)
            }) {
                self.phase = Phase::Over;
            }
        } else if let Some(button) = survey.control(false, &controls.leave) {
            self.output.push_back(Output::Action(Action::Click(button.key.clone())));
            self.left_pressed = true;
        } else {
            self.output.push_back(Output::Action(Action::Nudge));
        }
    }
}
