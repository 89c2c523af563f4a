//! Who is in the room, and what each of them sends.

use std::collections::HashMap;

use meetbot_types::bot::Participant;

use super::message::{Id, Person, Stream};
use crate::meeting::Source;

/// Words in a stream's description that mean a shared screen.
const SCREEN: [&str; 4] = ["screen", "desktop", "presentation", "window"];
/// What can be recorded as it comes.
const CODECS: [&str; 3] = ["opus", "vp8", "h264"];

/// The people in the room, the bot left out.
#[derive(Debug, Default)]
pub(crate) struct Roster(HashMap<Id, Entry>);

#[derive(Debug)]
struct Entry {
    name: String,
    streams: Vec<Stream>,
}

/// A stream that is worth recording.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StreamId {
    /// Whose.
    pub(crate) feed: Id,
    /// Which of theirs.
    pub(crate) mid: String,
}

impl Roster {
    /// Someone is there, or sends something else than before. Answers who, where they are new or have a new name.
    pub(crate) fn see(&mut self, person: Person) -> Option<Participant> {
        let streams = person.streams;
        let known = self.0.get_mut(&person.id);
        let name = person.display.unwrap_or_default();
        match known {
            Some(entry) => {
                // An attendee is told without streams, also one who sends some.
                if !streams.is_empty() {
                    entry.streams = streams;
                }
                if name.is_empty() || entry.name == name {
                    return None;
                }
                entry.name = name;
            }
            None => {
                self.0.insert(person.id.clone(), Entry { name, streams });
            }
        }
        self.participant(&person.id)
    }

    /// Someone has a new name.
    pub(crate) fn rename(&mut self, id: &Id, name: String) -> Option<Participant> {
        let entry = self.0.get_mut(id).filter(|entry| entry.name != name)?;
        entry.name = name;
        self.participant(id)
    }

    /// Someone sends nothing any more.
    pub(crate) fn fall_silent(&mut self, id: &Id) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.streams.clear();
        }
    }

    /// Someone is gone. Answers whether they were there.
    pub(crate) fn lose(&mut self, id: &Id) -> bool {
        self.0.remove(id).is_some()
    }

    fn participant(&self, id: &Id) -> Option<Participant> {
        let entry = self.0.get(id)?;
        let name = entry.name.clone();
        Some(Participant { id: id.to_string(), name, is_host: false, is_bot: false })
    }

    /// Everyone.
    pub(crate) fn people(&self) -> Vec<Participant> {
        self.0.keys().filter_map(|id| self.participant(id)).collect()
    }

    /// Every stream that is worth recording, with whether it is sent in several layers.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (StreamId, bool)> {
        self.0.iter().flat_map(|(id, entry)| {
            let worth = entry.streams.iter().filter(|stream| entry.source(stream).is_some());
            worth.map(|stream| {
                (StreamId { feed: id.clone(), mid: stream.mid.clone() }, stream.simulcast)
            })
        })
    }

    /// Of what a stream is, as far as it and those beside it tell.
    pub(crate) fn source(&self, stream: &StreamId) -> Option<Source> {
        let (entry, stream) = self.find(stream)?;
        entry.source(stream)
    }

    /// Whether a stream is there and can be recorded now: one that is switched off stays in the list.
    pub(crate) fn is_sent(&self, stream: &StreamId) -> bool {
        self.find(stream).is_some_and(|(_, stream)| is_recordable(stream))
    }

    /// Whether it is video.
    pub(crate) fn is_video(&self, stream: &StreamId) -> bool {
        self.find(stream).is_some_and(|(_, stream)| stream.kind == "video")
    }

    fn find(&self, stream: &StreamId) -> Option<(&Entry, &Stream)> {
        let entry = self.0.get(&stream.feed)?;
        Some((entry, entry.streams.iter().find(|known| known.mid == stream.mid)?))
    }
}

impl Entry {
    /// Of what a stream is: by its description, and where there is none by its place, since people have one face and one
    /// voice. `None` when it cannot be recorded.
    fn source(&self, stream: &Stream) -> Option<Source> {
        let recordable = self.streams.iter().filter(|stream| is_recordable(stream));
        let of_kind = recordable.filter(|other| other.kind == stream.kind);
        let (screens, others): (Vec<_>, Vec<_>) = of_kind.partition(|stream| is_screen(stream));
        let own = if stream.kind == "audio" { Source::Microphone } else { Source::Camera };
        let mut places = others.iter().map(|stream| &stream.mid);
        if places.next() == Some(&stream.mid) {
            return Some(own);
        }
        let mut shared = screens.iter().map(|stream| &stream.mid).chain(places);
        (shared.next() == Some(&stream.mid)).then_some(Source::Screen)
    }
}

fn is_recordable(stream: &Stream) -> bool {
    let codec = stream.codec.as_deref().unwrap_or_default();
    !stream.disabled && CODECS.contains(&codec)
}

fn is_screen(stream: &Stream) -> bool {
    let description = stream.description.as_deref().unwrap_or_default().to_lowercase();
    SCREEN.iter().any(|word| description.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: u64, name: &str, streams: &serde_json::Value) -> Person {
        serde_json::from_value(serde_json::json!({"id": id, "display": name, "streams": streams}))
            .unwrap()
    }

    #[test]
    fn a_screen_is_told_from_a_face_by_its_description_or_its_place() {
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
            roster.see(person(1, "Ann", &streams.clone().into()));
            let found: Vec<_> = (0..streams.len())
                .map(|mid| roster.source(&StreamId { feed: Id::Number(1), mid: mid.to_string() }))
                .collect();
            assert_eq!(found, expected, "{streams:?}");
        }
    }

    #[test]
    fn what_cannot_be_recorded_is_not_asked_for() {
        let mut roster = Roster::default();
        let streams = serde_json::json!([
            {"type": "video", "mid": "0", "codec": "av1"},
            {"type": "data", "mid": "1"},
            {"type": "video", "mid": "2", "disabled": true},
            {"type": "video", "mid": "3", "codec": "vp8", "simulcast": "true"},
        ]);
        roster.see(person(1, "Ann", &streams));
        let stream = StreamId { feed: Id::Number(1), mid: "3".to_owned() };
        assert_eq!(roster.streams().collect::<Vec<_>>(), [(stream.clone(), true)]);
        assert_eq!(roster.source(&stream), Some(Source::Camera));
    }

    #[test]
    fn only_news_are_told() {
        let mut roster = Roster::default();
        assert!(roster.see(person(1, "Ann", &serde_json::json!([]))).is_some());
        assert!(roster.see(person(1, "Ann", &serde_json::json!([]))).is_none());
        assert_eq!(
            roster.see(person(1, "Ann Lee", &serde_json::json!([]))).unwrap().name,
            "Ann Lee"
        );
        assert_eq!(roster.rename(&Id::Number(1), "Ann".to_owned()).unwrap().name, "Ann");
        assert!(roster.lose(&Id::Number(1)) && !roster.lose(&Id::Number(1)));
    }
}
