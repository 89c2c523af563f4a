//! The steps before the lobby: dialogs, devices, the name, the button to join. Pure.

use std::time::{Duration, Instant};

use crate::platforms::browser::{
    landmarks::Landmarks,
    page::Action,
    survey::{Control, Dialog, Survey, begins, holds},
};

/// How often the button to join is pressed, if it does not disappear.
const MOST_KNOCKS: u32 = 2;

/// How long the page must be ready before the bot joins: it may turn its devices on once it has them.
const SETTLES: Duration = Duration::from_secs(1);

/// The progress of the bot.
#[derive(Debug)]
pub(super) struct JoinFlow {
    name: String,
    /// When the page was opened.
    since: Instant,
    /// When the button to join was pressed last, and how often in a row.
    knocked: Option<(Instant, u32)>,
    /// How often it was pressed in total.
    knocks: u32,
    /// Since when only the button to join is left to press.
    ready_since: Option<Instant>,
    /// The page waits for microphone and camera.
    asks_for_devices: bool,
}

impl JoinFlow {
    pub(super) const fn new(name: String, now: Instant) -> Self {
        Self {
            name,
            since: now,
            knocked: None,
            knocks: 0,
            ready_since: None,
            asks_for_devices: false,
        }
    }

    /// Whether the button to join was pressed.
    pub(super) const fn knocked(&self) -> bool {
        self.knocked.is_some()
    }

    /// How often the button to join was pressed.
    pub(super) const fn knocks(&self) -> u32 {
        self.knocks
    }

    /// The page requests microphone and camera, or has the answer.
    pub(super) const fn ask_for_devices(&mut self, asks: bool) {
        self.asks_for_devices = asks;
    }

    /// The bot is in the lobby; it may be there without having pressed the button.
    pub(super) fn waits(&mut self) {
        self.knocked.get_or_insert((self.since, 0));
    }

    /// The bot must press the button to join again.
    pub(super) const fn again(&mut self, now: Instant) {
        (self.since, self.knocked) = (now, None);
    }

    /// Handles a look at the page before the lobby. It returns one action at a time, so that the next look shows its effect.
    pub(super) fn look(
        &mut self,
        landmarks: &Landmarks,
        survey: &Survey,
        now: Instant,
    ) -> Result<Option<Action>, String> {
        let (controls, bounds) = (&landmarks.controls, &landmarks.bounds);
        let button = survey.control(false, &controls.join);
        if let Some((at, times)) = self.knocked {
            if now < at + Duration::from_secs(bounds.knock_s) {
                return Ok(None);
            }
            if times >= MOST_KNOCKS {
                return Err(
                    "the button to join was pressed, and the page still asks whether to join"
                        .to_owned(),
                );
            }
        } else if now >= self.since + Duration::from_secs(bounds.arriving_s) {
            return Err("the page asks whether to join, and does not let the bot".to_owned());
        }
        let devices = [&controls.microphone_is_on, &controls.camera_is_on];
        if let Some(on) = devices.into_iter().find_map(|names| survey.control(false, names)) {
            self.ready_since = None;
            return Ok(Some(press_or_clear(landmarks, survey, on)));
        }
        if let Some(field) = survey.control(true, &controls.name)
            && field.value != self.name
        {
            self.ready_since = None;
            if field.free {
                let (field, text) = (field.key.clone(), self.name.clone());
                return Ok(Some(Action::Fill { field, text }));
            }
            return Ok(Some(press_or_clear(landmarks, survey, field)));
        }
        let Some(button) = button.filter(|_| !self.asks_for_devices).filter(|it| !it.disabled)
        else {
            self.ready_since = None;
            return Ok(None);
        };
        if now < *self.ready_since.get_or_insert(now) + SETTLES {
            return Ok(None);
        }
        let action = press_or_clear(landmarks, survey, button);
        if action == Action::Click(button.key.clone()) {
            let times = self.knocked.map_or(0, |(_, times)| times);
            self.knocked = Some((now, times + 1));
            self.knocks += 1;
        }
        Ok(Some(action))
    }
}

/// Presses a control, or closes the dialog that covers it.
fn press_or_clear(landmarks: &Landmarks, survey: &Survey, control: &Control) -> Action {
    if control.free {
        return Action::Click(control.key.clone());
    }
    let names = &landmarks.controls.dismiss;
    let closes = survey.controls.iter().find(|it| {
        !it.is_field && it.shown && it.free && names.iter().any(|name| begins(&it.name, name))
    });
    closes.map_or(Action::Escape, |button| Action::Click(button.key.clone()))
}

/// The action for a dialog: that of its rule, or closing it.
pub(super) fn answer(
    landmarks: &Landmarks,
    survey: &Survey,
    place: usize,
    dialog: &Dialog,
) -> Action {
    let says = |words: &String| dialog.lines.iter().any(|line| holds(line, words));
    let rule = landmarks.dialogs.iter().find(|rule| rule.any.iter().any(says));
    let of_dialog =
        || survey.controls.iter().filter(|it| it.dialog == Some(place) && !it.is_field && it.shown);
    let named = |names: &[String]| {
        names.iter().find_map(|name| of_dialog().find(|it| begins(&it.name, name)))
    };
    let button = match rule {
        Some(rule) => named(&rule.press).or_else(|| of_dialog().find(|it| it.accepts)),
        None => named(&landmarks.controls.dismiss).filter(|button| !button.accepts),
    };
    button.map_or(Action::Escape, |button| Action::Click(button.key.clone()))
}
