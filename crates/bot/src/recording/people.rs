//! Who is in the meeting, over all their comings and goings. Pure.

use std::collections::HashMap;

use meetbot_types::{bot::Participant, manifest::ManifestParticipant};

/// Everyone who was seen.
///
/// A meeting may give someone who drops out and comes back another id. They stay one person for the recording: whoever comes with the name
/// of someone who has left is that one, and is known by the first id.
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
        let first_id = match self.seen.get(&participant.id) {
            Some((known, _)) => known.id.clone(),
            None => self.first_id(participant),
        };
        self.former.retain(|former| former.id != first_id);
        let person = Participant { id: first_id, ..participant.clone() };
        let here = (person.clone(), true);
        let before = self.seen.insert(participant.id.clone(), here.clone());
        (before != Some(here)).then_some(person)
    }

    fn first_id(&self, participant: &Participant) -> String {
        let gone = self.seen.values().filter(|(_, here)| !here).map(|(person, _)| person);
        let gone: Vec<_> = gone.chain(&self.former).collect();
        let same_id = gone.iter().find(|person| person.id == participant.id);
        let same_name = || {
            let named = gone.iter().find(|person| person.name == participant.name);
            named.filter(|person| !person.name.is_empty() && !self.is_here(&person.id))
        };
        same_id
            .or_else(same_name)
            .map_or_else(|| participant.id.clone(), |person| person.id.clone())
    }

    fn is_here(&self, first_id: &str) -> bool {
        self.seen.values().any(|(person, here)| *here && person.id == first_id)
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
    fn the_nameless_are_never_taken_for_each_other() {
        let mut people = People::default();
        people.join(&person("1", ""));
        people.leave("1");
        assert_eq!(people.join(&person("2", "")).unwrap().id, "2");
    }

    #[test]
    fn people_of_an_attempt_before_are_known() {
        let story = ManifestParticipant {
            id: "1".into(),
            name: "Ann".into(),
            is_bot: false,
            is_host: false,
            joined_at: 0,
            left_at: None,
            speaking_ms: 0,
            names: vec!["Ann".into()],
        };
        let mut people = People::after(&[story]);
        assert_eq!(people.join(&person("9", "Ann")).unwrap().id, "1");
        assert_eq!(people.join(&person("10", "Ann")).unwrap().id, "10");
    }
}
