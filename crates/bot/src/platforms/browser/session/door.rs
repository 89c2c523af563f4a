//! The way to the door: dialogs, devices, the name, the button to join. Pure.

use std::time::{Duration, Instant};

use crate::platforms::browser::{
    landmarks::Landmarks,
    page::Act,
    survey::{Control, Dialog, Survey, begins, holds},
};

/// The button to join is pressed so often, once it has been there for too long.
const MOST_KNOCKS: u32 = 2;

/// A page that is ready to be joined has to stay so for this time: it may turn its devices on once it has them.
const SETTLES: Duration = Duration::from_secs(1);

/// How far the bot has come.
#[derive(Debug)]
pub(super) struct Door {
    name: String,
    /// Since when the page is being opened.
    since: Instant,
    /// When the button to join was pressed last, and how often.
    knocked: Option<(Instant, u32)>,
    /// How often it was pressed in all.
    knocks: u32,
    /// Since when nothing but the button to join is left to be pressed.
    ready_since: Option<Instant>,
    /// The page asks the browser for microphone and camera.
    asks_for_devices: bool,
}

impl Door {
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

    /// The page asks the browser for microphone and camera, or has its answer.
    pub(super) const fn ask_for_devices(&mut self, asks: bool) {
        self.asks_for_devices = asks;
    }

    /// The bot waits to be let in; it need not have knocked for that.
    pub(super) fn waits(&mut self) {
        self.knocked.get_or_insert((self.since, 0));
    }

    /// The bot has to knock once more.
    pub(super) const fn again(&mut self, now: Instant) {
        (self.since, self.knocked) = (now, None);
    }

    /// A look at a page that asks whether to join: what is to be done, one thing at a time, so that the next look shows what came of it.
    pub(super) fn look(
        &mut self,
        landmarks: &Landmarks,
        survey: &Survey,
        now: Instant,
    ) -> Result<Option<Act>, String> {
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
                return Ok(Some(Act::Fill { field, text }));
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
        let act = press_or_clear(landmarks, survey, button);
        if act == Act::Click(button.key.clone()) {
            let times = self.knocked.map_or(0, |(_, times)| times);
            self.knocked = Some((now, times + 1));
            self.knocks += 1;
        }
        Ok(Some(act))
    }
}

/// Presses a control, or closes what lies over it.
fn press_or_clear(landmarks: &Landmarks, survey: &Survey, control: &Control) -> Act {
    if control.free {
        return Act::Click(control.key.clone());
    }
    let names = &landmarks.controls.dismiss;
    let closes = survey.controls.iter().find(|it| {
        !it.is_field && it.shown && it.free && names.iter().any(|name| begins(&it.name, name))
    });
    closes.map_or(Act::Escape, |button| Act::Click(button.key.clone()))
}

/// What is done about a dialog: what its rule says, or it is closed.
pub(super) fn answer(landmarks: &Landmarks, survey: &Survey, place: usize, dialog: &Dialog) -> Act {
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
    button.map_or(Act::Escape, |button| Act::Click(button.key.clone()))
}
