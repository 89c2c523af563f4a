//! Google Meet's messages about people, the sources of their audio, and the chat: on its data channel `collections`, and in the answers of
//! `SyncMeetingSpaceCollections`. Pure.
//!
//! `layout` has the numbers of the fields. Unknown fields are ignored, and a changed layout gives no data rather than wrong data.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    compression::unpack,
    layout::{CHAT, OUTPUTS, ROSTER, ROSTER_OF_CALL, chat, output as out, person as entry},
    protobuf::Message,
};
use crate::bounds;

/// A message with changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) people: Vec<Person>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) chat: Vec<Line>,
}

/// A person in the roster, by device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// As in `spaces/x/devices/7`.
    pub(crate) device: String,
    /// `None` if the message does not contain it.
    pub(crate) name: Option<String>,
    pub(crate) presence: Presence,
    /// Whether it is the bot itself.
    pub(crate) is_self: bool,
    pub(crate) is_host: bool,
    /// The device of the owner, if this entry is a shared screen and not a person.
    pub(crate) screen_of: Option<String>,
}

/// Whether a person is in the meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    In,
    Out,
    /// Removed from the meeting.
    Removed,
    /// The message does not contain it.
    Unspecified,
}

/// A stream that a device sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) device: String,
    pub(crate) sends: Sends,
}

/// The identification of a device's media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sends {
    /// The source in its audio packets (CSRC).
    Sound(u32),
    /// The stream of its pictures, or their source in decimal.
    Pictures(String),
}

/// A line of the chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) device: String,
    pub(crate) text: String,
}

/// Reads a message of the channel `collections`; `None` if it cannot be read.
pub(crate) fn collections(bytes: &[u8]) -> Option<Update> {
    let unpacked = unpack(bytes)?;
    let message = Message::read(&unpacked)?;
    Some(Update {
        people: message.under(ROSTER.path).iter().filter_map(person).collect(),
        outputs: message.under(OUTPUTS.path).iter().filter_map(output).collect(),
        chat: message.under(CHAT.path).iter().filter_map(line).collect(),
    })
}

/// Reads the answer of `SyncMeetingSpaceCollections`, base64: the complete roster. An empty answer means no change.
pub(crate) fn roster(answer: &[u8]) -> Option<Vec<Person>> {
    if answer.len() > 2 * super::compression::MOST_BYTES {
        return None;
    }
    let bytes = STANDARD.decode(answer.trim_ascii()).ok()?;
    let unpacked = unpack(&bytes)?;
    let message = Message::read(&unpacked)?;
    Some(message.under(ROSTER_OF_CALL.path).iter().filter_map(person).collect())
}

pub(super) fn device(message: &Message<'_>, field: u32) -> Option<String> {
    let device = message.text(field)?;
    let (space, number) = device.strip_prefix("spaces/")?.split_once("/devices/")?;
    (!space.is_empty() && !number.is_empty()).then(|| bounds::id(device.to_owned()))
}

fn person(message: &Message<'_>) -> Option<Person> {
    let name = [entry::NAME, entry::SHORT_NAME]
        .into_iter()
        .filter_map(|field| message.text(field))
        .find(|name| !name.trim().is_empty());
    Some(Person {
        device: device(message, entry::DEVICE)?,
        name: name.map(|name| bounds::NAME.cut(name.trim().to_owned())),
        presence: match message.number(entry::STATUS) {
            Some(1) => Presence::In,
            Some(6) => Presence::Out,
            Some(7) => Presence::Removed,
            _ => Presence::Unspecified,
        },
        is_self: message.text(entry::SELF).is_some_and(|text| !text.is_empty()),
        is_host: message.number(entry::HOST).is_some_and(|host| host != 0),
        screen_of: message.bytes(entry::SCREEN_OF).filter(|parent| !parent.is_empty()).map(|_| {
            let parent = message.text(entry::SCREEN_OF);
            parent.map(|parent| bounds::id(parent.to_owned())).unwrap_or_default()
        }),
    })
}

fn output(message: &Message<'_>) -> Option<Output> {
    let name = message.text(out::STREAM)?;
    let sends = match message.number(out::KIND)? {
        1 => Sends::Sound(name.parse().ok()?),
        2 if !name.is_empty() => Sends::Pictures(bounds::id(name.to_owned())),
        _ => return None,
    };
    Some(Output { device: device(message, out::DEVICE)?, sends })
}

fn line(message: &Message<'_>) -> Option<Line> {
    let text = message.message(chat::CONTENT)?.text(chat::TEXT)?.to_owned();
    Some(Line {
        id: bounds::id(message.text(chat::ID).filter(|id| !id.is_empty())?.to_owned()),
        device: device(message, chat::DEVICE)?,
        text: bounds::MESSAGE.cut(text),
    })
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    /// A field with bytes.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        push(&mut field, u64::from(number) << 3 | 2);
        push(&mut field, content.len() as u64);
        field.extend_from_slice(content);
        field
    }

    fn number(number: u8, value: u64) -> Vec<u8> {
        let mut field = Vec::new();
        push(&mut field, u64::from(number) << 3);
        push(&mut field, value);
        field
    }

    fn push(bytes: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
    }

    fn under(path: &[u8], content: &[u8]) -> Vec<u8> {
        path.iter().rev().fold(content.to_vec(), |inner, number| field(*number, &inner))
    }

    const ANN: &str = "spaces/a/devices/7";

    fn ann() -> Vec<u8> {
        [field(1, ANN.as_bytes()), field(2, b"Ann"), number(4, 1), number(34, 1)].concat()
    }

    #[test]
    fn people_sources_and_lines_are_read_from_one_message() {
        let own =
            [field(1, b"spaces/a/devices/9"), field(29, b"meetbot"), number(4, 1), field(7, b"x")];
        let share = [
            field(1, b"spaces/a/devices/8"),
            number(4, 1),
            field(21, ANN.as_bytes()),
            field(2, b"Ann"),
        ];
        let voice = [number(2, 1), field(4, b"4294967295"), field(6, ANN.as_bytes())];
        let camera = [number(2, 2), field(4, b"stream"), field(6, ANN.as_bytes())];
        let line = [field(1, b"m1"), field(2, ANN.as_bytes()), field(5, &field(1, b"hello"))];
        let people =
            [field(2, &ann()), field(2, &own.concat()), field(2, &share.concat())].concat();
        let content = [
            under(&[1, 2, 13, 1], &people),
            under(&[1, 2, 3], &[field(2, &voice.concat()), field(2, &camera.concat())].concat()),
            under(&[1, 2, 13, 4, 2], &line.concat()),
        ];
        let content = content.concat();
        for bytes in [content.clone(), compress_to_vec_zlib(&content, 6)] {
            let update = collections(&bytes).unwrap();
            let names: Vec<_> = update
                .people
                .iter()
                .map(|one| (one.name.as_deref(), one.is_self, one.screen_of.as_deref()))
                .collect();
            let expected = [
                (Some("Ann"), false, None),
                (Some("meetbot"), true, None),
                (Some("Ann"), false, Some(ANN)),
            ];
            assert_eq!(names, expected);
            assert!(update.people[0].is_host && update.people[0].presence == Presence::In);
            let sources: Vec<_> = update.outputs.iter().map(|one| one.sends.clone()).collect();
            assert_eq!(sources, [Sends::Sound(u32::MAX), Sends::Pictures("stream".to_owned())]);
            let line = Line { id: "m1".into(), device: ANN.into(), text: "hello".into() };
            assert_eq!(update.chat, [line]);
        }
    }

    #[test]
    fn the_answer_of_the_rpc_is_a_complete_roster_or_empty() {
        let answer = STANDARD.encode(under(&[2, 2, 2], &ann()));
        assert_eq!(roster(answer.as_bytes()).unwrap()[0].name.as_deref(), Some("Ann"));
        assert_eq!(roster(b"").unwrap(), []);
        assert_eq!(roster(b"{\"error\":1}"), None);
    }

    #[test]
    fn another_layout_gives_no_data() {
        let other = under(&[1, 2, 13, 1, 3], &ann());
        assert_eq!(collections(&other).unwrap(), Update::default());
        let nameless = [field(1, b"people/7"), field(2, b"Ann"), number(4, 1)].concat();
        assert_eq!(collections(&under(&[1, 2, 13, 1, 2], &nameless)).unwrap(), Update::default());
        let words = [number(2, 1), field(4, b"mic-7"), field(6, ANN.as_bytes())].concat();
        assert_eq!(collections(&under(&[1, 2, 3, 2], &words)).unwrap(), Update::default());
        assert_eq!(collections(b"{\"people\":[]}"), None);
    }
}
