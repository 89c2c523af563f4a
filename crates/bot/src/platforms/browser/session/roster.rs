//! The people in the meeting, by device. Pure.

use std::collections::{HashMap, HashSet};

use meetbot_types::bot::Participant;

use crate::{
    bounds::{self, Exceeded},
    platforms::browser::products::google_meet::wire::{Person, Presence},
};

/// The name of a person before the meeting sends it.
const NAMELESS: &str = "Unknown speaker";

/// All people who were ever in the meeting.
#[derive(Debug, Default)]
pub(super) struct Roster {
    people: HashMap<String, Entry>,
    /// The devices of shared screens, and the devices of their owners.
    screens: HashMap<String, String>,
    own: Option<String>,
    own_is_in: bool,
    /// Speakers who are in no roster.
    introduced: HashSet<String>,
    /// Those of them whose device is known by now, but not their name.
    unnamed: Vec<(String, String)>,
}

#[derive(Debug)]
struct Entry {
    name: Option<String>,
    is_host: bool,
    here: bool,
}

/// A change of the roster.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RosterChange {
    /// A person joined, or was renamed.
    Joined(Participant),
    Left(String),
    /// The shared screen with this device ended.
    ShareEnded(String),
    RemovedSelf,
    Nothing,
}

impl Roster {
    /// The bot's own id.
    pub(super) fn own_id(&self) -> Option<&str> {
        self.own.as_deref()
    }

    pub(super) fn is_self(&self, device: &str) -> bool {
        self.own_id() == Some(device)
    }

    /// The device of the owner of a shared screen; `None` if the device is a person's.
    pub(super) fn parent(&self, device: &str) -> Option<&str> {
        self.screens.get(device).map(String::as_str)
    }

    /// Whether the roster lists the bot as admitted.
    pub(super) const fn has_self(&self) -> bool {
        self.own_is_in
    }

    /// The name of a device's person.
    pub(super) fn name(&self, device: &str) -> String {
        let name = self.people.get(device).and_then(|entry| entry.name.clone());
        name.unwrap_or_else(|| NAMELESS.to_owned())
    }

    /// All other present people.
    pub(super) fn others(&self) -> Vec<Participant> {
        let here = self.people.iter().filter(|(device, entry)| entry.here && !self.is_self(device));
        let mut others: Vec<_> = here.map(|(device, _)| self.participant(device)).collect();
        others.sort_by(|one, other| one.id.cmp(&other.id));
        others
    }

    /// The people who are missing in this complete roster, marked as gone.
    pub(super) fn gone(&self, whole: &[Person]) -> Vec<Person> {
        let listed: HashSet<_> = whole.iter().map(|person| person.device.as_str()).collect();
        let gone = |(device, entry): (&String, &Entry)| {
            let is_gone = entry.here && !listed.contains(device.as_str()) && !self.is_self(device);
            is_gone.then(|| Person {
                device: device.clone(),
                name: None,
                presence: Presence::Out,
                is_self: false,
                is_host: entry.is_host,
                screen_of: None,
            })
        };
        self.people.iter().filter_map(gone).collect()
    }

    /// Updates a person.
    pub(super) fn update(&mut self, person: Person) -> Result<RosterChange, Exceeded> {
        if let Some(parent) = person.screen_of {
            if matches!(person.presence, Presence::Out | Presence::Removed) {
                self.screens.remove(&person.device);
                return Ok(RosterChange::ShareEnded(person.device));
            }
            if self.screens.len() < bounds::PEOPLE {
                self.screens.insert(person.device, parent);
            }
            return Ok(RosterChange::Nothing);
        }
        if person.is_self || self.is_self(&person.device) {
            self.own = Some(person.device);
            self.own_is_in = match person.presence {
                Presence::In => true,
                Presence::Out | Presence::Removed => false,
                Presence::Unspecified => self.own_is_in,
            };
            return Ok(if person.presence == Presence::Removed {
                RosterChange::RemovedSelf
            } else {
                RosterChange::Nothing
            });
        }
        if self.people.len() >= bounds::PEOPLE && !self.people.contains_key(&person.device) {
            return Err(Exceeded::People);
        }
        let entry = self.people.entry(person.device.clone()).or_insert(Entry {
            name: None,
            is_host: false,
            here: false,
        });
        let before = (entry.name.clone(), entry.is_host, entry.here);
        entry.here = match person.presence {
            Presence::In | Presence::Unspecified => true,
            Presence::Out | Presence::Removed => false,
        };
        entry.is_host = person.is_host;
        // A missing name does not replace a known one.
        entry.name = person.name.or(entry.name.take());
        if !entry.here {
            return Ok(if before.2 {
                RosterChange::Left(person.device)
            } else {
                RosterChange::Nothing
            });
        }
        let is_new = (entry.name.clone(), entry.is_host, entry.here) != before;
        Ok(if is_new {
            RosterChange::Joined(self.participant(&person.device))
        } else {
            RosterChange::Nothing
        })
    }

    /// A device speaks. Returns its participant, if it was not reported yet.
    pub(super) fn introduce(&mut self, device: &str) -> Option<Participant> {
        if self.people.contains_key(device) {
            return None;
        }
        self.people.insert(device.to_owned(), Entry { name: None, is_host: false, here: true });
        Some(self.participant(device))
    }

    /// A person who is in no roster speaks. Returns the participant, if it was not reported yet.
    pub(super) fn introduce_as(&mut self, id: &str, name: String) -> Option<Participant> {
        let is_new =
            self.introduced.len() < bounds::PEOPLE && self.introduced.insert(id.to_owned());
        is_new.then(|| Participant { id: id.to_owned(), name, is_host: false, is_bot: false })
    }

    /// A speaker who was in no roster turns out to have this device.
    pub(super) fn was(&mut self, id: String, device: String) {
        if self.unnamed.len() < bounds::PEOPLE {
            self.unnamed.push((id, device));
        }
    }

    /// Speakers without a roster entry whose names are known by now, each once.
    pub(super) fn named(&mut self) -> Vec<Participant> {
        let has_name = |(_, device): &mut (String, String)| {
            self.people.get(device).is_some_and(|entry| entry.name.is_some())
        };
        let named: Vec<_> = self.unnamed.extract_if(.., has_name).collect();
        named
            .into_iter()
            .map(|(id, device)| Participant { id, ..self.participant(&device) })
            .collect()
    }

    fn participant(&self, device: &str) -> Participant {
        let is_host = self.people.get(device).is_some_and(|entry| entry.is_host);
        Participant { id: device.to_owned(), name: self.name(device), is_host, is_bot: false }
    }
}
