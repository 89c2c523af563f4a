//! How it is known whose a media file is. Pure.

use std::collections::HashMap;

use meetbot_types::Platform;

use super::Recording;
use crate::{bounds, meeting::Attribution};

/// How it is known whose media are, by person.
#[derive(Debug)]
pub(crate) struct Attributions {
    usual: Attribution,
    others: HashMap<String, Attribution>,
}

impl Attributions {
    /// Those of a platform's meetings.
    pub(crate) fn of(platform: &Platform) -> Self {
        let usual = match platform {
            Platform::GoogleMeet => Attribution::Source,
            _ => Attribution::Stream,
        };
        Self { usual, others: HashMap::new() }
    }

    /// For this person it is another one than usual.
    pub(crate) fn set(&mut self, person: &str, attribution: Attribution) {
        if self.others.len() < bounds::PEOPLE {
            self.others.insert(person.to_owned(), attribution);
        }
    }

    /// That of a person.
    pub(crate) fn get(&self, person: &str) -> Attribution {
        self.others.get(person).copied().unwrap_or(self.usual)
    }
}

impl Recording {
    /// Sets how it is known whose media of this participant, who has joined, are.
    pub(crate) fn attribute(&mut self, participant: &str, attribution: Attribution) {
        let person = self.people.of(participant).0.to_owned();
        self.attributions.set(&person, attribution);
    }
}
