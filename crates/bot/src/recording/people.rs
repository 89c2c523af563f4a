//! Who is in the meeting, over all their comings and goings. Pure.

use std::collections::HashMap;

use meetbot_types::{bot::Participant, manifest::ManifestParticipant};

/// Everyone who was seen.
///
/// A meeting may give someone who drops out and comes back another id. They stay one person for the recording: whoever comes with the name
/// of someone who has left is that one, and is known by the first id. Whoever is there keeps that id: no other is taken for them.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// By the meeting's ids: the person under their first id, and whether they are there.
    seen: HashMap<String, (Participant, bool)>,
    /// People of the attempts before, who have not come yet in this one.
    former: Vec<Participant>,
}

impl People {
    /// Nobody yet, after attempts in which these were seen.
    pub(crate) fn after(story: &[ManifestParticipant]) -> Self {
        let former = story.iter().map(|person| Participant {
            id: person.id.clone(),
            name: person.name.clone(),
            is_host: person.is_host,
            is_bot: person.is_bot,
        });
        Self { seen: HashMap::new(), former: former.collect() }
    }

    /// Someone is there. Answers them, under their first id, if that is news.
    pub(crate) fn join(&mut self, participant: &Participant) -> Option<Participant> {
        let known = self.seen.get(&participant.id).map(|(known, _)| known.id.clone());
        let first_id = known
            .filter(|first_id| !self.is_another(first_id, &participant.id))
            .unwrap_or_else(|| self.first_id(participant));
        self.former.retain(|former| former.id != first_id);
        let person = Participant { id: first_id, ..participant.clone() };
        let here = (person.clone(), true);
        let before = self.seen.insert(participant.id.clone(), here.clone());
        (before != Some(here)).then_some(person)
    }

    /// The people of a roster in the order in which they are to join: whoever kept a known id, before somebody new of the same name can be taken for them.
    pub(crate) fn in_order(&self, mut roster: Vec<Participant>) -> Vec<Participant> {
        let known = |id: &str| {
            self.seen.contains_key(id) || self.former.iter().any(|person| person.id == id)
        };
        roster.sort_by_key(|person| !known(&person.id));
        roster
    }

    fn first_id(&self, participant: &Participant) -> String {
        let gone = self.seen.values().filter(|(_, here)| !here).map(|(person, _)| person);
        let gone: Vec<_> = gone
            .chain(&self.former)
            .filter(|person| !self.is_another(&person.id, &participant.id))
            .collect();
        let same_id = gone.iter().find(|person| person.id == participant.id);
        let same_name = || {
            let named = gone.iter().find(|person| person.name == participant.name);
            named.filter(|person| !person.name.is_empty())
        };
        same_id
            .or_else(same_name)
            .map_or_else(|| self.unused(&participant.id), |person| person.id.clone())
    }

    /// An id that nobody has had: the meeting's own, if it is free.
    fn unused(&self, id: &str) -> String {
        let taken = |first_id: &str| {
            let mut people = self.seen.values().map(|(person, _)| person).chain(&self.former);
            people.any(|person| person.id == first_id)
        };
        let numbered = (2..).map(|number| format!("{id}-{number}"));
        let mut ids = std::iter::once(id.to_owned()).chain(numbered);
        ids.find(|first_id| !taken(first_id)).unwrap_or_else(|| id.to_owned())
    }

    /// Whether someone else who is there has this first id.
    fn is_another(&self, first_id: &str, id: &str) -> bool {
        let mut others = self.seen.iter().filter(|(other, _)| *other != id);
        others.any(|(_, (person, here))| *here && person.id == first_id)
    }

    /// Someone with this id of the meeting's is not there. Answers them, if that is news.
    pub(crate) fn leave(&mut self, id: &str) -> Option<Participant> {
        let (person, here) = self.seen.get_mut(id)?;
        std::mem::take(here).then(|| person.clone())
    }

    /// The meeting's ids of all who are there.
    pub(crate) fn present(&self) -> Vec<String> {
        let here = self.seen.iter().filter(|(_, (_, here))| *here);
        here.map(|(id, _)| id.clone()).collect()
    }

    /// Who is there of those with these ids of the meeting's, under those ids.
    pub(crate) fn present_of(&self, ids: &[String]) -> Vec<Participant> {
        let present = ids.iter().filter_map(|id| Some((id, self.seen.get(id)?)));
        let here = present.filter(|(_, (_, here))| *here);
        here.map(|(id, (person, _))| Participant { id: id.clone(), ..person.clone() }).collect()
    }

    /// Someone's first id and name, by the meeting's id.
    pub(crate) fn of<'a>(&'a self, id: &'a str) -> (&'a str, &'a str) {
        self.seen.get(id).map_or((id, ""), |(person, _)| (&person.id, &person.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, name: &str) -> Participant {
        Participant { id: id.to_owned(), name: name.to_owned(), is_host: false, is_bot: false }
    }

    #[test]
    fn who_comes_back_with_another_id_is_the_same() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        assert_eq!(people.join(&person("1", "Ann")), None);
        assert_eq!(people.leave("1"), Some(person("1", "Ann")));
        assert_eq!(people.join(&person("2", "Ann")), Some(person("1", "Ann")));
        assert_eq!((people.of("2"), people.present()), (("1", "Ann"), vec!["2".to_owned()]));
    }

    #[test]
    fn two_of_one_name_who_are_there_at_once_are_two() {
        let mut people = People::default();
        people.join(&person("1", "Ann"));
        assert_eq!(people.join(&person("2", "Ann")), Some(person("2", "Ann")));
        people.leave("1");
        people.join(&person("3", "Ann"));
        assert_eq!(people.of("3").0, "1");
        assert_eq!(people.join(&person("4", "Ann")).unwrap().id, "4");
    }

    #[test]
    fn who_comes_back_is_not_taken_for_whoever_has_their_place() {
        let mut people = People::default();
        people.join(&person("5", "Guest"));
        people.leave("5");
        assert_eq!(people.join(&person("6", "Guest")).unwrap().id, "5");
        assert_eq!(people.join(&person("5", "Guest")).unwrap().id, "5-2");
        assert_eq!(people.join(&person("5", "Guest")), None, "and stays that one");
        people.leave("5");
        people.leave("6");
        assert_eq!(people.join(&person("5", "Guest")).unwrap().id, "5-2");
        assert_eq!(people.join(&person("6", "Guest")).unwrap().id, "5");
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
        assert_eq!((people.join(&bot), people.join(&bot)), (Some(news), None));
    }

    #[test]
    fn the_nameless_are_never_taken_for_each_other() {
        let mut people = People::default();
        people.join(&person("1", ""));
        people.leave("1");
        assert_eq!(people.join(&person("2", "")).unwrap().id, "2");
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
        assert_eq!(people.join(&person("9", "Ann")).unwrap().id, "1");
        assert_eq!(people.join(&person("10", "Ann")).unwrap().id, "10");
        assert_eq!(people.join(&person("1", "Ann")).unwrap().id, "1-2", "9 has that place");
    }
}
