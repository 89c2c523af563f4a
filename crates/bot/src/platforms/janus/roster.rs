//! The people in the room, and their streams.

use std::collections::{BTreeSet, HashMap};

use meetbot_types::bot::Participant;

use super::message::{Id, Person, Stream};
use crate::meeting::Source;

/// Words in a stream's description that indicate a shared screen.
const SCREEN: [&str; 4] = ["screen", "desktop", "presentation", "window"];
/// The codecs that can be recorded.
const CODECS: [&str; 3] = ["opus", "vp8", "h264"];

/// The people in the room, without the bot.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    people: HashMap<Id, Entry>,
    /// People whose streams may have changed since the last call of [`Roster::take_changed`].
    changed: BTreeSet<Id>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Their active streams that can be recorded: the room also lists inactive ones.
    streams: Vec<Sent>,
}

/// A stream that can be recorded.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    mid: String,
    video: bool,
    /// Its description indicates a shared screen.
    screen: bool,
    simulcast: bool,
}

/// The id of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamId {
    /// The id of its sender.
    pub(crate) feed: Id,
    /// The `mid` among the sender's streams.
    pub(crate) mid: String,
}

impl Roster {
    /// Adds or updates a person. Returns the participant if it is new or was renamed.
    pub(crate) fn update(&mut self, person: Person) -> Option<Participant> {
        // Janus lists attendees without streams, also those who send some.
        let says_streams = !person.streams.is_empty();
        let streams: Vec<_> = person.streams.into_iter().filter_map(Sent::of).collect();
        let name = person.display.unwrap_or_default();
        if let Some(entry) = self.people.get_mut(&person.id) {
            if says_streams && entry.streams != streams {
                entry.streams = streams;
                self.changed.insert(person.id.clone());
            }
            if name.is_empty() || entry.name == name {
                return None;
            }
            entry.name = name;
        } else {
            if !streams.is_empty() {
                self.changed.insert(person.id.clone());
            }
            self.people.insert(person.id.clone(), Entry { name, streams });
        }
        self.participant(&person.id)
    }

    /// Sets a person's new name.
    pub(crate) fn rename(&mut self, id: &Id, name: String) -> Option<Participant> {
        let entry = self.people.get_mut(id).filter(|entry| entry.name != name)?;
        entry.name = name;
        self.participant(id)
    }

    /// A person stopped to send.
    pub(crate) fn unpublish(&mut self, id: &Id) {
        if let Some(entry) = self.people.get_mut(id) {
            entry.streams.clear();
            self.changed.insert(id.clone());
        }
    }

    /// Removes a person. Returns whether it was in the room.
    pub(crate) fn remove(&mut self, id: &Id) -> bool {
        let was_there = self.people.remove(id).is_some();
        if was_there {
            self.changed.insert(id.clone());
        }
        was_there
    }

    /// Takes the people whose streams may have changed.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Id> {
        std::mem::take(&mut self.changed)
    }

    /// Whether a person is in the room.
    pub(crate) fn has(&self, id: &Id) -> bool {
        self.people.contains_key(id)
    }

    /// How many people are in the room.
    pub(crate) fn len(&self) -> usize {
        self.people.len()
    }

    fn participant(&self, id: &Id) -> Option<Participant> {
        let entry = self.people.get(id)?;
        let name = entry.name.clone();
        Some(Participant { id: id.to_string(), name, is_host: false, is_bot: false })
    }

    /// All participants.
    pub(crate) fn people(&self) -> Vec<Participant> {
        self.people.keys().filter_map(|id| self.participant(id)).collect()
    }

    /// A person's streams that can be recorded: the id of each, and whether it is video.
    pub(crate) fn streams_of(&self, id: &Id) -> impl Iterator<Item = (&str, bool)> {
        let streams = self.people.get(id).into_iter().flat_map(|entry| &entry.streams);
        streams.map(|stream| (stream.mid.as_str(), stream.video))
    }

    /// The source of a stream: by its description, and without one by its position among the person's streams, since a person has one camera and
    /// one microphone. `None` if it cannot be recorded.
    pub(crate) fn source(&self, stream: &StreamId) -> Option<Source> {
        let found = self.find(stream)?;
        let beside = &self.people.get(&stream.feed)?.streams;
        let of_kind = beside.iter().filter(|other| other.video == found.video);
        let (screens, others): (Vec<_>, Vec<_>) = of_kind.partition(|stream| stream.screen);
        let own = if found.video { Source::Camera } else { Source::Microphone };
        let mut places = others.iter().map(|stream| &stream.mid);
        if places.next() == Some(&stream.mid) {
            return Some(own);
        }
        let mut shared = screens.iter().map(|stream| &stream.mid).chain(places);
        (shared.next() == Some(&stream.mid)).then_some(Source::Screen)
    }

    /// Whether a stream is simulcast.
    pub(crate) fn is_layered(&self, stream: &StreamId) -> bool {
        self.find(stream).is_some_and(|stream| stream.simulcast)
    }

    /// Whether it is video.
    pub(crate) fn is_video(&self, stream: &StreamId) -> bool {
        self.find(stream).is_some_and(|stream| stream.video)
    }

    fn find(&self, stream: &StreamId) -> Option<&Sent> {
        let entry = self.people.get(&stream.feed)?;
        entry.streams.iter().find(|known| known.mid == stream.mid)
    }
}

impl Sent {
    fn of(stream: Stream) -> Option<Self> {
        let codec = stream.codec.as_deref().unwrap_or_default();
        if stream.disabled || !CODECS.contains(&codec) {
            return None;
        }
        let description = stream.description.unwrap_or_default().to_lowercase();
        Some(Self {
            mid: stream.mid,
            video: stream.kind == "video",
            screen: SCREEN.iter().any(|word| description.contains(word)),
            simulcast: stream.simulcast,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: u64, name: &str, streams: &serde_json::Value) -> Person {
        serde_json::from_value(serde_json::json!({"id": id, "display": name, "streams": streams}))
            .unwrap()
    }

    #[test]
    fn a_screen_is_distinguished_from_a_camera_by_its_description_or_position() {
        let stream = |mid: &str, kind: &str, description: &str| serde_json::json!({"type": kind, "mid": mid, "codec": if kind == "audio" { "opus" } else { "vp8" }, "description": description});
        for (streams, expected) in [
            (
                vec![stream("0", "audio", ""), stream("1", "video", "")],
                vec![Some(Source::Microphone), Some(Source::Camera)],
            ),
            (vec![stream("0", "video", "My Screen")], vec![Some(Source::Screen)]),
            (
                vec![stream("0", "video", "screen"), stream("1", "video", "webcam")],
                vec![Some(Source::Screen), Some(Source::Camera)],
            ),
            (
                vec![
                    stream("0", "audio", ""),
                    stream("1", "video", ""),
                    stream("2", "video", ""),
                    stream("3", "audio", ""),
                ],
                vec![
                    Some(Source::Microphone),
                    Some(Source::Camera),
                    Some(Source::Screen),
                    Some(Source::Screen),
                ],
            ),
            (
                vec![stream("0", "video", ""), stream("1", "video", ""), stream("2", "video", "")],
                vec![Some(Source::Camera), Some(Source::Screen), None],
            ),
        ] {
            let mut roster = Roster::default();
            roster.update(person(1, "Ann", &streams.clone().into()));
            let found: Vec<_> = (0..streams.len())
                .map(|mid| roster.source(&StreamId { feed: Id::Number(1), mid: mid.to_string() }))
                .collect();
            assert_eq!(found, expected, "{streams:?}");
        }
    }

    #[test]
    fn streams_that_cannot_be_recorded_are_not_requested() {
        let mut roster = Roster::default();
        let streams = serde_json::json!([
            {"type": "video", "mid": "0", "codec": "av1"},
            {"type": "data", "mid": "1"},
            {"type": "video", "mid": "2", "disabled": true},
            {"type": "video", "mid": "3", "codec": "vp8", "simulcast": "true"},
        ]);
        roster.update(person(1, "Ann", &streams));
        let stream = StreamId { feed: Id::Number(1), mid: "3".to_owned() };
        assert_eq!(roster.streams_of(&stream.feed).collect::<Vec<_>>(), [("3", true)]);
        assert!(roster.is_layered(&stream));
        assert_eq!(roster.source(&stream), Some(Source::Camera));
    }

    #[test]
    fn only_changes_are_returned() {
        let mut roster = Roster::default();
        assert!(roster.update(person(1, "Ann", &serde_json::json!([]))).is_some());
        assert!(roster.update(person(1, "Ann", &serde_json::json!([]))).is_none());
        assert_eq!(
            roster.update(person(1, "Ann Lee", &serde_json::json!([]))).unwrap().name,
            "Ann Lee"
        );
        assert_eq!(roster.rename(&Id::Number(1), "Ann".to_owned()).unwrap().name, "Ann");
        assert!(roster.remove(&Id::Number(1)) && !roster.remove(&Id::Number(1)));
    }
}
