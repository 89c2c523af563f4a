//! Who is in the meeting, over all their comings and goings. Pure, and each of them costs the same, however many there are.

use std::collections::{BTreeSet, HashMap, VecDeque};

use meetbot_types::{bot::Participant, manifest::ManifestParticipant};

use crate::bounds;

/// Everyone who was seen.
///
/// A meeting may give someone who drops out and comes back another id. They stay one person for the recording: whoever comes with the name
/// of someone who has left is that one, and is known by the first id. Whoever is there keeps that id: no other is taken for them.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// In the order in which they first came; those of the attempts before are the first.
    everyone: Vec<Person>,
    /// The places of people by the meeting's ids for them.
    by_id: HashMap<String, usize>,
    /// The same by first ids.
    by_first_id: HashMap<String, usize>,
    /// The same of those who are not there, by name.
    gone: HashMap<String, BTreeSet<usize>>,
    /// How many are there.
    here: usize,
    /// By ids that somebody else had already: the number to try next behind them.
    numbers: HashMap<String, u64>,
}

/// What is new about somebody who is there; they are given under their first id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// They were not there.
    Came(Participant),
    /// They have another name.
    Renamed { participant: Participant, previous_name: String },
    /// They turned out to be a host or a bot, or not to be one.
    OtherRole(Participant),
}

#[derive(Debug)]
struct Person {
    /// Under the first id.
    who: Participant,
    /// The meeting's ids for them, the newest last; none before somebody of an attempt before has come in this one.
    ids: VecDeque<String>,
    here: bool,
}

impl Person {
    fn is_here_as(&self, id: &str) -> bool {
        self.here && self.ids.back().is_some_and(|newest| newest == id)
    }
}

impl People {
    /// Nobody yet, after attempts in which these were seen.
    pub(crate) fn after(story: &[ManifestParticipant]) -> Self {
        let mut people = Self::default();
        for person in story {
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

    /// How many were ever seen.
    pub(crate) fn len(&self) -> usize {
        self.everyone.len()
    }

    /// Someone is there. Answers what is news about them.
    pub(crate) fn join(&mut self, participant: &Participant) -> Option<News> {
        let known = self.by_id.get(&participant.id).copied();
        let known = known.filter(|place| {
            let person = &self.everyone[*place];
            !person.here || person.is_here_as(&participant.id)
        });
        let place = known.or_else(|| self.gone_as(participant)).unwrap_or_else(|| {
            let id = self.unused(&participant.id);
            self.add(Participant { id, ..participant.clone() })
        });
        let id = self.everyone[place].who.id.clone();
        let who = Participant { id, ..participant.clone() };
        let came = !self.everyone[place].here;
        if came {
            self.no_longer_gone(place);
            self.know_as(place, &participant.id);
        }
        let person = &mut self.everyone[place];
        person.here = true;
        let before = std::mem::replace(&mut person.who, who.clone());
        if came {
            Some(News::Came(who))
        } else if before.name != who.name {
            Some(News::Renamed { participant: who, previous_name: before.name })
        } else {
            (before != who).then_some(News::OtherRole(who))
        }
    }

    /// The people of a roster in the order in which they are to join: whoever kept a known id, before somebody new of the same name can be taken for them.
    pub(crate) fn in_order(&self, mut roster: Vec<Participant>) -> Vec<Participant> {
        let known = |id: &str| self.by_id.contains_key(id) || self.by_first_id.contains_key(id);
        roster.sort_by_key(|person| !known(&person.id));
        roster
    }

    /// Adds somebody who is not there yet. Answers their place.
    fn add(&mut self, who: Participant) -> usize {
        let place = self.everyone.len();
        self.by_first_id.insert(who.id.clone(), place);
        self.everyone.push(Person { who, ids: VecDeque::new(), here: false });
        self.now_gone(place);
        place
    }

    /// The nameless are never taken for each other.
    fn now_gone(&mut self, place: usize) {
        let name = &self.everyone[place].who.name;
        if !name.is_empty() {
            self.gone.entry(name.clone()).or_default().insert(place);
        }
    }

    fn no_longer_gone(&mut self, place: usize) {
        self.here += 1;
        let name = &self.everyone[place].who.name;
        if let Some(places) = self.gone.get_mut(name) {
            places.remove(&place);
            if places.is_empty() {
                self.gone.remove(name);
            }
        }
    }

    /// Somebody is there under this id of the meeting's.
    fn know_as(&mut self, place: usize, id: &str) {
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

    /// Who of those who are not there this is: by the id, else by the name, of several the one who came last.
    fn gone_as(&self, participant: &Participant) -> Option<usize> {
        let same_id = self.by_first_id.get(&participant.id).copied();
        let same_name = || self.gone.get(&participant.name)?.last().copied();
        same_id.filter(|place| !self.everyone[*place].here).or_else(same_name)
    }

    /// An id that nobody has had: the meeting's own, if it is free.
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

    /// Someone with this id of the meeting's is not there. Answers them, if that is news.
    pub(crate) fn leave(&mut self, id: &str) -> Option<Participant> {
        let place = *self.by_id.get(id)?;
        let person = &mut self.everyone[place];
        if !person.is_here_as(id) {
            return None;
        }
        person.here = false;
        let who = person.who.clone();
        self.here -= 1;
        self.now_gone(place);
        Some(who)
    }

    /// Whether nobody is there.
    pub(crate) const fn is_empty(&self) -> bool {
        self.here == 0
    }

    /// The meeting's ids of all who are there.
    pub(crate) fn present(&self) -> Vec<String> {
        let here = self.everyone.iter().filter(|person| person.here);
        here.filter_map(|person| person.ids.back().cloned()).collect()
    }

    /// Who is there of those with these ids of the meeting's, under those ids.
    pub(crate) fn present_of(&self, ids: &[String]) -> Vec<Participant> {
        let here = ids.iter().filter_map(|id| {
            let person = &self.everyone[*self.by_id.get(id)?];
            person.is_here_as(id).then(|| Participant { id: id.clone(), ..person.who.clone() })
        });
        here.collect()
    }

    /// Someone's first id and name, by the meeting's id.
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

    /// Under which id somebody who comes is known.
    fn came(people: &mut People, participant: &Participant) -> String {
        match people.join(participant) {
            Some(News::Came(who)) => who.id,
            news => panic!("{participant:?} did not come: {news:?}"),
        }
    }

    #[test]
    fn another_name_of_someone_who_is_there_is_no_second_coming() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        people.leave("1");
        assert_eq!(people.join(&person("2", "Ann")), Some(News::Came(person("1", "Ann"))));
        let renamed =
            News::Renamed { participant: person("1", "Ann Lee"), previous_name: "Ann".into() };
        assert_eq!(people.join(&person("2", "Ann Lee")), Some(renamed));
        assert_eq!(people.join(&person("2", "Ann Lee")), None);
        people.leave("2");
        assert_eq!(people.join(&person("2", "Ann")), Some(News::Came(person("1", "Ann"))));
    }

    #[test]
    fn who_comes_back_with_another_id_is_the_same() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        assert_eq!(people.join(&person("1", "Ann")), None);
        assert_eq!(people.leave("1"), Some(person("1", "Ann")));
        assert_eq!(people.join(&person("2", "Ann")), Some(News::Came(person("1", "Ann"))));
        assert_eq!((people.of("2"), people.present()), (("1", "Ann"), vec!["2".to_owned()]));
    }

    #[test]
    fn two_of_one_name_who_are_there_at_once_are_two() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        assert_eq!(people.join(&person("2", "Ann")), Some(News::Came(person("2", "Ann"))));
        people.leave("1");
        people.join(&person("3", "Ann"));
        assert_eq!(people.of("3").0, "1");
        assert_eq!(came(&mut people, &person("4", "Ann")), "4");
    }

    #[test]
    fn who_comes_back_is_not_taken_for_whoever_has_their_place() {
        let mut people = People::default();
        people.join(&person("5", "Guest"));
        people.leave("5");
        assert_eq!(came(&mut people, &person("6", "Guest")), "5");
        assert_eq!(came(&mut people, &person("5", "Guest")), "5-2");
        assert_eq!(people.join(&person("5", "Guest")), None, "and stays that one");
        people.leave("5");
        people.leave("6");
        assert_eq!(came(&mut people, &person("5", "Guest")), "5-2");
        assert_eq!(came(&mut people, &person("6", "Guest")), "5");
    }

    #[test]
    fn who_turns_out_to_be_a_bot_is_news() {
        let mut people = People::default();
        people.join(&person("1", "Recorder"));
        people.leave("1");
        people.join(&person("2", "Recorder"));
        let ids = ["1", "2", "3"].map(str::to_owned);
        let present = people.present_of(&ids);
        assert_eq!(present, [person("2", "Recorder")]);
        let bot = Participant { is_bot: true, ..present[0].clone() };
        let news = Participant { id: "1".to_owned(), ..bot.clone() };
        let news = News::OtherRole(news);
        assert_eq!((people.join(&bot), people.join(&bot)), (Some(news), None));
    }

    #[test]
    fn the_nameless_are_never_taken_for_each_other() {
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
    fn of_two_of_one_name_the_one_who_kept_the_id_stays_that_one() {
        let mut people = People::after(&[former("1", "Guest"), former("2", "Guest")]);
        let roster = people.in_order(vec![person("5", "Guest"), person("1", "Guest")]);
        for person in &roster {
            people.join(person);
        }
        assert_eq!((people.of("1").0, people.of("5").0), ("1", "2"));
    }

    #[test]
    fn people_of_an_attempt_before_are_known() {
        let mut people = People::after(&[former("1", "Ann")]);
        assert_eq!(came(&mut people, &person("9", "Ann")), "1");
        assert_eq!(came(&mut people, &person("10", "Ann")), "10");
        assert_eq!(came(&mut people, &person("1", "Ann")), "1-2", "9 has that place");
    }

    #[test]
    fn packets_that_come_late_under_an_id_before_are_of_the_same_person() {
        let mut people = People::default();
        for id in 1..=9 {
            let id = id.to_string();
            people.join(&person(&id, "Ann"));
            people.leave(&id);
        }
        assert_eq!((people.of("9"), people.of("6")), (("1", "Ann"), ("1", "Ann")));
        assert_eq!(people.of("5"), ("5", ""), "and the others are forgotten");
        assert_eq!((people.by_id.len(), people.len()), (bounds::IDS_OF_ONE, 1));
    }

    #[test]
    fn of_several_who_have_left_the_last_who_came_comes_back() {
        let mut people = People::after(&[former("1", "Guest")]);
        people.join(&person("2", "Guest"));
        people.join(&person("3", "Guest"));
        for id in ["3", "2"] {
            people.leave(id);
        }
        let first_ids = ["4", "5", "6"].map(|id| came(&mut people, &person(id, "Guest")));
        assert_eq!(first_ids, ["3", "1", "6"]);
    }

    /// Each walk over all of them would take hours.
    #[test]
    fn a_hundred_thousand_come_and_go_and_come_back_in_seconds() {
        const MANY: usize = 100_000;
        let begun = crate::clock::now();
        let mut people = People::default();
        // All of one name, some of whom have the ids that others would be given.
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
