//! Google Meet's captions, on its data channels `captions` and `captions_v2`. Pure.
//!
//! As in [`wire`](super::wire), the fields' numbers are those that public projects have found, and a changed layout gives no captions.

use super::{compression::unpack, protobuf::Message, wire::device};

/// Lines of the channel `captions`, and of `captions_v2`.
const FIRST: [u32; 1] = [1];
const SECOND: [u32; 2] = [1, 1];

/// A version of a line of captions. A later version replaces the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) device: String,
    /// The number of the line among those of the device.
    pub(crate) line: u64,
    pub(crate) number: u64,
    pub(crate) text: String,
    /// Whether it is marked as the last one.
    pub(crate) is_last: bool,
}

/// Whether a channel with this label has captions.
pub(crate) fn is_channel(label: &str) -> bool {
    matches!(label, "captions" | "captions_v2")
}

/// Reads a message of the channel with this label; `None` if it cannot be read, or if the channel has no captions.
pub(crate) fn captions(label: &str, bytes: &[u8]) -> Option<Vec<Version>> {
    let read = match label {
        "captions" => first,
        "captions_v2" => second,
        _ => return None,
    };
    let unpacked = unpack(bytes)?;
    let message = Message::read(&unpacked)?;
    let path: &[u32] = if label == "captions" { &FIRST } else { &SECOND };
    Some(message.under(path).iter().filter_map(read).collect())
}

fn first(line: &Message<'_>) -> Option<Version> {
    // Some projects found the text in field 4, others whether the version is the last.
    let text = [6, 4].into_iter().filter_map(|field| line.text(field)).find(|it| !it.is_empty());
    Some(Version {
        device: device(line, 1)?,
        line: line.number(2)?,
        number: line.number(3)?,
        text: text?.to_owned(),
        is_last: line.number(4).is_some_and(|last| last != 0),
    })
}

fn second(line: &Message<'_>) -> Option<Version> {
    let said = line.message(3)?;
    Some(Version {
        device: device(&said, 6)?,
        line: line.number(1)?,
        number: line.number(2)?,
        text: said.text(3).filter(|text| !text.is_empty())?.to_owned(),
        is_last: said.number(9).is_some_and(|last| last != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &[u8] = b"spaces/a/devices/7";

    /// A field of fewer than 128 bytes.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn number(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn line(device: &[u8], rest: &[Vec<u8>]) -> Vec<u8> {
        field(1, &[field(1, device), number(2, 5), number(3, 2), rest.concat()].concat())
    }

    fn version(text: &str, is_last: bool) -> Version {
        Version {
            device: "spaces/a/devices/7".to_owned(),
            line: 5,
            number: 2,
            text: text.to_owned(),
            is_last,
        }
    }

    #[test]
    fn both_channels_are_read_and_a_changed_layout_gives_no_captions() {
        let v2 = |said: &[Vec<u8>]| {
            let line = [number(1, 5), number(2, 2), field(3, &said.concat())].concat();
            field(1, &field(1, &line))
        };
        for (label, message, read) in [
            (
                "captions",
                line(ANN, &[number(4, 1), field(6, b"so it is")]),
                vec![("so it is", true)],
            ),
            ("captions", line(ANN, &[field(6, b"so it")]), vec![("so it", false)]),
            ("captions", line(ANN, &[field(4, b"so it")]), vec![("so it", false)]),
            (
                "captions",
                [line(ANN, &[field(6, b"one")]), line(ANN, &[field(6, b"two")])].concat(),
                vec![("one", false), ("two", false)],
            ),
            (
                "captions_v2",
                v2(&[field(3, b"so it is"), field(6, ANN), number(9, 1)]),
                vec![("so it is", true)],
            ),
            ("captions_v2", v2(&[field(3, b"so it"), field(6, ANN)]), vec![("so it", false)]),
            // No text, no device, another person's id, another path.
            ("captions", line(ANN, &[number(4, 1)]), vec![]),
            ("captions", line(b"people/7", &[field(6, b"so it is")]), vec![]),
            ("captions", field(2, &line(ANN, &[field(6, b"so it is")])), vec![]),
            ("captions_v2", v2(&[field(3, b"so it is")]), vec![]),
            ("captions_v2", line(ANN, &[field(6, b"so it is")]), vec![]),
            ("captions", vec![], vec![]),
        ] {
            let expected: Vec<_> =
                read.into_iter().map(|(text, is_last)| version(text, is_last)).collect();
            assert_eq!(captions(label, &message), Some(expected), "{label}: {message:?}");
        }
        for (label, bytes) in [
            ("captions", &b"so it is"[..]),
            ("captions", b"\x0A\x7Fx"),
            ("captions_v2", b"\x1F\x8B\x08"),
            ("collections", b""),
        ] {
            assert_eq!(captions(label, bytes), None, "{label}: {bytes:?}");
        }
    }
}
