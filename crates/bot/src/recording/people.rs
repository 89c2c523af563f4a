//! The participants of the meeting over all joins and leaves. Pure; each change costs the same for any number of people.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use meetbot_types::{bot::Participant, manifest::ManifestParticipant};

use crate::bounds;

/// All people who were ever in the meeting.
///
/// A meeting may give a participant a new id after a reconnect. For the recording it stays one person: a participant who joins with the name
/// of a person who has left is that person, and keeps the first id. A person who is present is never matched with another participant.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// In the order of their first join; people of earlier attempts come first.
    everyone: Vec<Person>,
    /// Indices of people by the meeting's ids for them.
    by_id: HashMap<String, usize>,
    /// Indices by first ids.
    by_first_id: HashMap<String, usize>,
    /// Indices of absent people by name.
    gone: HashMap<String, BTreeSet<usize>>,
    /// How many people are present.
    here: usize,
    /// For ids that are taken: the next number to try as a suffix.
    numbers: HashMap<String, u64>,
}

/// A change of the roster; participants have their first id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RosterChange {
    /// The participant joined.
    Joined(Participant),
    /// The participant has a new name.
    Renamed { participant: Participant, previous_name: String },
    /// The participant became a host or a bot, or stopped to be one.
    RoleChanged(Participant),
}

#[derive(Debug)]
struct Person {
    /// With the first id.
    who: Participant,
    /// The first id, for keys that are made for each packet.
    key: Arc<str>,
    /// The meeting's ids for this person, the newest last; empty for a person of an earlier attempt who has not joined in this one.
    ids: VecDeque<String>,
    here: bool,
}

impl Person {
    fn is_here_as(&self, id: &str) -> bool {
        self.here && self.ids.back().is_some_and(|newest| newest == id)
    }
}

impl People {
    /// Nobody is present yet; `participants` are those of earlier attempts.
    pub(crate) fn after(participants: &[ManifestParticipant]) -> Self {
        let mut people = Self::default();
        for person in participants {
            let who = Participant {
                id: person.id.clone(),
                name: person.name.clone(),
                is_host: person.is_host,
                is_bot: person.is_bot,
            };
            people.add(who);
        }
        people
    }

    /// How many people were ever in the meeting.
    pub(crate) fn len(&self) -> usize {
        self.everyone.len()
    }

    /// A participant is in the meeting. Returns the change, if any.
    pub(crate) fn join(&mut self, participant: &Participant) -> Option<RosterChange> {
        let known = self.by_id.get(&participant.id).copied();
        let known = known.filter(|place| {
            let person = &self.everyone[*place];
            !person.here || person.is_here_as(&participant.id)
        });
        let place = known.or_else(|| self.find_absent(participant)).unwrap_or_else(|| {
            let id = self.unused(&participant.id);
            self.add(Participant { id, ..participant.clone() })
        });
        let id = self.everyone[place].who.id.clone();
        let who = Participant { id, ..participant.clone() };
        let came = !self.everyone[place].here;
        if came {
            self.mark_present(place);
            self.add_id(place, &participant.id);
        }
        let person = &mut self.everyone[place];
        person.here = true;
        let before = std::mem::replace(&mut person.who, who.clone());
        if came {
            Some(RosterChange::Joined(who))
        } else if before.name != who.name {
            Some(RosterChange::Renamed { participant: who, previous_name: before.name })
        } else {
            (before != who).then_some(RosterChange::RoleChanged(who))
        }
    }

    /// The people of a roster in the order in which they must join: those with a known id first, so that a new participant of the same name is not matched with them.
    pub(crate) fn in_order(&self, mut roster: Vec<Participant>) -> Vec<Participant> {
        let known = |id: &str| self.by_id.contains_key(id) || self.by_first_id.contains_key(id);
        roster.sort_by_key(|person| !known(&person.id));
        roster
    }

    /// Adds a new person. Returns the index.
    fn add(&mut self, who: Participant) -> usize {
        let place = self.everyone.len();
        self.by_first_id.insert(who.id.clone(), place);
        let key = Arc::from(&*who.id);
        self.everyone.push(Person { who, key, ids: VecDeque::new(), here: false });
        self.mark_absent(place);
        place
    }

    /// Marks a person as absent. People without a name are never matched with each other.
    fn mark_absent(&mut self, place: usize) {
        let name = &self.everyone[place].who.name;
        if !name.is_empty() {
            self.gone.entry(name.clone()).or_default().insert(place);
        }
    }

    fn mark_present(&mut self, place: usize) {
        self.here += 1;
        let name = &self.everyone[place].who.name;
        if let Some(places) = self.gone.get_mut(name) {
            places.remove(&place);
            if places.is_empty() {
                self.gone.remove(name);
            }
        }
    }

    /// Adds one of the meeting's ids to a person.
    fn add_id(&mut self, place: usize, id: &str) {
        self.by_id.insert(id.to_owned(), place);
        let ids = &mut self.everyone[place].ids;
        if ids.back().is_some_and(|newest| newest == id) {
            return;
        }
        ids.retain(|known| known != id);
        ids.push_back(id.to_owned());
        if ids.len() > bounds::IDS_OF_ONE
            && let Some(oldest) = ids.pop_front()
            && self.by_id.get(&oldest) == Some(&place)
        {
            self.by_id.remove(&oldest);
        }
    }

    /// Finds the absent person who this participant is: by the id, else by the name; of several the one who joined last.
    fn find_absent(&self, participant: &Participant) -> Option<usize> {
        let same_id = self.by_first_id.get(&participant.id).copied();
        let same_name = || self.gone.get(&participant.name)?.last().copied();
        same_id.filter(|place| !self.everyone[*place].here).or_else(same_name)
    }

    /// An unused first id: the meeting's id, if it is free.
    fn unused(&mut self, id: &str) -> String {
        if !self.by_first_id.contains_key(id) {
            return id.to_owned();
        }
        let number = self.numbers.entry(id.to_owned()).or_insert(2);
        loop {
            let numbered = format!("{id}-{number}");
            *number += 1;
            if !self.by_first_id.contains_key(&numbered) {
                return numbered;
            }
        }
    }

    /// The participant with this id of the meeting left. Returns it, if it was present.
    pub(crate) fn leave(&mut self, id: &str) -> Option<Participant> {
        let place = *self.by_id.get(id)?;
        let person = &mut self.everyone[place];
        if !person.is_here_as(id) {
            return None;
        }
        person.here = false;
        let who = person.who.clone();
        self.here -= 1;
        self.mark_absent(place);
        Some(who)
    }

    /// Whether nobody is present.
    pub(crate) const fn is_empty(&self) -> bool {
        self.here == 0
    }

    /// The meeting's ids of all present people.
    pub(crate) fn present(&self) -> Vec<String> {
        let here = self.everyone.iter().filter(|person| person.here);
        here.filter_map(|person| person.ids.back().cloned()).collect()
    }

    /// The present people among these ids of the meeting, with those ids.
    pub(crate) fn present_of(&self, ids: &[String]) -> Vec<Participant> {
        let here = ids.iter().filter_map(|id| {
            let person = &self.everyone[*self.by_id.get(id)?];
            person.is_here_as(id).then(|| Participant { id: id.clone(), ..person.who.clone() })
        });
        here.collect()
    }

    /// A person's first id, by the meeting's id.
    pub(crate) fn key_of(&self, id: &str) -> Arc<str> {
        let person = self.by_id.get(id).map(|place| &self.everyone[*place]);
        person.map_or_else(|| Arc::from(id), |person| Arc::clone(&person.key))
    }

    /// A person's first id and name, by the meeting's id.
    pub(crate) fn of<'a>(&'a self, id: &'a str) -> (&'a str, &'a str) {
        self.by_id.get(id).map_or((id, ""), |place| {
            let who = &self.everyone[*place].who;
            (&who.id, &who.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, name: &str) -> Participant {
        Participant { id: id.to_owned(), name: name.to_owned(), is_host: false, is_bot: false }
    }

    /// The first id of a participant who joins.
    fn came(people: &mut People, participant: &Participant) -> String {
        match people.join(participant) {
            Some(RosterChange::Joined(who)) => who.id,
            change => panic!("{participant:?} did not join: {change:?}"),
        }
    }

    #[test]
    fn a_rename_of_a_present_participant_is_not_a_second_join() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        people.leave("1");
        assert_eq!(
            people.join(&person("2", "Ann")),
            Some(RosterChange::Joined(person("1", "Ann")))
        );
        let renamed = RosterChange::Renamed {
            participant: person("1", "Ann Lee"),
            previous_name: "Ann".into(),
        };
        assert_eq!(people.join(&person("2", "Ann Lee")), Some(renamed));
        assert_eq!(people.join(&person("2", "Ann Lee")), None);
        people.leave("2");
        assert_eq!(
            people.join(&person("2", "Ann")),
            Some(RosterChange::Joined(person("1", "Ann")))
        );
    }

    #[test]
    fn a_participant_who_returns_with_another_id_is_the_same_person() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        assert_eq!(people.join(&person("1", "Ann")), None);
        assert_eq!(people.leave("1"), Some(person("1", "Ann")));
        assert_eq!(
            people.join(&person("2", "Ann")),
            Some(RosterChange::Joined(person("1", "Ann")))
        );
        assert_eq!((people.of("2"), people.present()), (("1", "Ann"), vec!["2".to_owned()]));
    }

    #[test]
    fn two_present_participants_of_one_name_are_two_people() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        assert_eq!(
            people.join(&person("2", "Ann")),
            Some(RosterChange::Joined(person("2", "Ann")))
        );
        people.leave("1");
        people.join(&person("3", "Ann"));
        assert_eq!(people.of("3").0, "1");
        assert_eq!(came(&mut people, &person("4", "Ann")), "4");
    }

    #[test]
    fn a_returning_participant_is_not_matched_with_a_present_one_of_the_same_name() {
        let mut people = People::default();
        people.join(&person("5", "Guest"));
        people.leave("5");
        assert_eq!(came(&mut people, &person("6", "Guest")), "5");
        assert_eq!(came(&mut people, &person("5", "Guest")), "5-2");
        assert_eq!(people.join(&person("5", "Guest")), None, "and spans that person");
        people.leave("5");
        people.leave("6");
        assert_eq!(came(&mut people, &person("5", "Guest")), "5-2");
        assert_eq!(came(&mut people, &person("6", "Guest")), "5");
    }

    #[test]
    fn a_participant_who_turns_out_to_be_a_bot_is_a_change() {
        let mut people = People::default();
        people.join(&person("1", "Recorder"));
        people.leave("1");
        people.join(&person("2", "Recorder"));
        let ids = ["1", "2", "3"].map(str::to_owned);
        let present = people.present_of(&ids);
        assert_eq!(present, [person("2", "Recorder")]);
        let bot = Participant { is_bot: true, ..present[0].clone() };
        let change = Participant { id: "1".to_owned(), ..bot.clone() };
        let change = RosterChange::RoleChanged(change);
        assert_eq!((people.join(&bot), people.join(&bot)), (Some(change), None));
    }

    #[test]
    fn participants_without_a_name_are_never_matched() {
        let mut people = People::default();
        people.join(&person("1", ""));
        people.leave("1");
        assert_eq!(came(&mut people, &person("2", "")), "2");
    }

    fn former(id: &str, name: &str) -> ManifestParticipant {
        ManifestParticipant {
            id: id.into(),
            name: name.into(),
            is_bot: false,
            is_host: false,
            joined_at: 0,
            left_at: None,
            speaking_ms: 0,
            names: vec![name.into()],
        }
    }

    #[test]
    fn of_two_participants_of_one_name_the_known_id_decides() {
        let mut people = People::after(&[former("1", "Guest"), former("2", "Guest")]);
        let roster = people.in_order(vec![person("5", "Guest"), person("1", "Guest")]);
        for person in &roster {
            people.join(person);
        }
        assert_eq!((people.of("1").0, people.of("5").0), ("1", "2"));
    }

    #[test]
    fn people_of_an_earlier_attempt_are_matched() {
        let mut people = People::after(&[former("1", "Ann")]);
        assert_eq!(came(&mut people, &person("9", "Ann")), "1");
        assert_eq!(came(&mut people, &person("10", "Ann")), "10");
        assert_eq!(
            came(&mut people, &person("1", "Ann")),
            "1-2",
            "the person with id 9 is known as 1"
        );
    }

    #[test]
    fn late_packets_under_a_previous_id_belong_to_the_same_person() {
        let mut people = People::default();
        for id in 1..=9 {
            let id = id.to_string();
            people.join(&person(&id, "Ann"));
            people.leave(&id);
        }
        assert_eq!((people.of("9"), people.of("6")), (("1", "Ann"), ("1", "Ann")));
        assert_eq!(people.of("5"), ("5", ""), "older ids are dropped");
        assert_eq!((people.by_id.len(), people.len()), (bounds::IDS_OF_ONE, 1));
    }

    #[test]
    fn of_several_absent_people_the_last_who_joined_is_matched() {
        let mut people = People::after(&[former("1", "Guest")]);
        people.join(&person("2", "Guest"));
        people.join(&person("3", "Guest"));
        for id in ["3", "2"] {
            people.leave(id);
        }
        let first_ids = ["4", "5", "6"].map(|id| came(&mut people, &person(id, "Guest")));
        assert_eq!(first_ids, ["3", "1", "6"]);
    }

    /// If each step walked over all people, this would take hours.
    #[test]
    fn a_hundred_thousand_joins_leaves_and_returns_take_seconds() {
        const MANY: usize = 100_000;
        let begun = crate::clock::now();
        let mut people = People::default();
        // All have one name, and some have ids that others would get as a suffixed id.
        let id = |number: usize| match number % 2 {
            0 => number.to_string(),
            _ => format!("0-{number}"),
        };
        for number in 0..MANY {
            people.join(&person(&id(number), "Guest"));
        }
        for number in 0..MANY {
            people.leave(&id(number));
        }
        for number in 0..MANY {
            people.join(&person(&format!("again {number}"), "Guest"));
        }
        for number in 0..MANY {
            assert!(people.join(&person("0", &number.to_string())).is_some());
            people.leave("0");
        }
        assert!(people.len() <= MANY + 1, "{}", people.len());
        assert_eq!(people.present().len(), MANY);
        let took = crate::clock::now() - begun;
        assert!(took < std::time::Duration::from_mins(1), "it took {took:?}");
    }
}
