//! Who is in the meeting, by the device they are there with. Pure.

use std::collections::{HashMap, HashSet};

use meetbot_types::bot::Participant;

use crate::{
    bounds::{self, Exceeded},
    platforms::browser::products::google_meet::wire::{Person, Presence},
};

/// Of somebody whose name the meeting has not said yet.
const NAMELESS: &str = "Unknown speaker";

/// Everyone who was seen.
#[derive(Debug, Default)]
pub(super) struct Roster {
    people: HashMap<String, Entry>,
    /// What is shared, and by which device.
    screens: HashMap<String, String>,
    own: Option<String>,
    own_is_in: bool,
    /// Those who speak and are in no roster.
    introduced: HashSet<String>,
    /// Those of them of whom it is known by now with which device they are there, and who have no name yet.
    unnamed: Vec<(String, String)>,
}

#[derive(Debug)]
struct Entry {
    name: Option<String>,
    is_host: bool,
    here: bool,
}

/// What is new.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Somebody is there, or has another name.
    Came(Participant),
    Left(String),
    /// What is shared as this device is shared no longer.
    NoLongerShared(String),
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

    /// The device of who shares what comes as this device; `None` where that is a person's own.
    pub(super) fn parent(&self, device: &str) -> Option<&str> {
        self.screens.get(device).map(String::as_str)
    }

    /// Whether the bot is in it, and let in.
    pub(super) const fn holds_self(&self) -> bool {
        self.own_is_in
    }

    /// The name of a device's person.
    pub(super) fn name(&self, device: &str) -> String {
        let name = self.people.get(device).and_then(|entry| entry.name.clone());
        name.unwrap_or_else(|| NAMELESS.to_owned())
    }

    /// Everyone else who is there.
    pub(super) fn others(&self) -> Vec<Participant> {
        let here = self.people.iter().filter(|(device, entry)| entry.here && !self.is_self(device));
        let mut others: Vec<_> = here.map(|(device, _)| self.participant(device)).collect();
        others.sort_by(|one, other| one.id.cmp(&other.id));
        others
    }

    /// Those of the roster who are not in this whole one, as gone.
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

    /// Hears of somebody.
    pub(super) fn hear(&mut self, person: Person) -> Result<News, Exceeded> {
        if let Some(parent) = person.screen_of {
            if matches!(person.presence, Presence::Out | Presence::Removed) {
                self.screens.remove(&person.device);
                return Ok(News::NoLongerShared(person.device));
            }
            if self.screens.len() < bounds::PEOPLE {
                self.screens.insert(person.device, parent);
            }
            return Ok(News::Nothing);
        }
        if person.is_self || self.is_self(&person.device) {
            self.own = Some(person.device);
            self.own_is_in = match person.presence {
                Presence::In => true,
                Presence::Out | Presence::Removed => false,
                Presence::Unsaid => self.own_is_in,
            };
            return Ok(if person.presence == Presence::Removed {
                News::RemovedSelf
            } else {
                News::Nothing
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
            Presence::In | Presence::Unsaid => true,
            Presence::Out | Presence::Removed => false,
        };
        entry.is_host = person.is_host;
        // A name is never replaced by none.
        entry.name = person.name.or(entry.name.take());
        if !entry.here {
            return Ok(if before.2 { News::Left(person.device) } else { News::Nothing });
        }
        let is_new = (entry.name.clone(), entry.is_host, entry.here) != before;
        Ok(if is_new { News::Came(self.participant(&person.device)) } else { News::Nothing })
    }

    /// Somebody speaks. Answers who they are where nobody has been told of them yet.
    pub(super) fn introduce(&mut self, device: &str) -> Option<Participant> {
        if self.people.contains_key(device) {
            return None;
        }
        self.people.insert(device.to_owned(), Entry { name: None, is_host: false, here: true });
        Some(self.participant(device))
    }

    /// Somebody speaks who is in no roster.
    pub(super) fn introduce_as(&mut self, id: &str, name: String) -> Option<Participant> {
        let is_new =
            self.introduced.len() < bounds::PEOPLE && self.introduced.insert(id.to_owned());
        is_new.then(|| Participant { id: id.to_owned(), name, is_host: false, is_bot: false })
    }

    /// Somebody who was in no roster turns out to be there with this device.
    pub(super) fn was(&mut self, id: String, device: String) {
        if self.unnamed.len() < bounds::PEOPLE {
            self.unnamed.push((id, device));
        }
    }

    /// Those who were in no roster and whose names are known by now, each once.
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
