//! Google Meet's captions, on its data channels `captions` and `captions_v2`. Pure.
//!
//! `layout` has the numbers of the fields. As in [`wire`](super::wire), a changed layout gives no captions.

use super::{
    compression::unpack,
    layout::{CAPTIONS, CAPTIONS_2, LINES, LINES_2, line, line_2},
    protobuf::Message,
    wire::device,
};

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
    matches!(label, CAPTIONS | CAPTIONS_2)
}

/// Reads a message of the channel with this label; `None` if it cannot be read, or if the channel has no captions.
pub(crate) fn captions(label: &str, bytes: &[u8]) -> Option<Vec<Version>> {
    let (path, read): (_, fn(&Message<'_>) -> Option<Version>) = match label {
        CAPTIONS => (LINES.path, first),
        CAPTIONS_2 => (LINES_2.path, second),
        _ => return None,
    };
    let unpacked = unpack(bytes)?;
    let message = Message::read(&unpacked)?;
    Some(message.under(path).iter().filter_map(read).collect())
}

fn first(message: &Message<'_>) -> Option<Version> {
    let texts =
        [line::TEXT, line::LAST_OR_TEXT].into_iter().filter_map(|field| message.text(field));
    Some(Version {
        device: device(message, line::DEVICE)?,
        line: message.number(line::NUMBER)?,
        number: message.number(line::VERSION)?,
        text: texts.into_iter().find(|text| !text.is_empty())?.to_owned(),
        is_last: message.number(line::LAST_OR_TEXT).is_some_and(|last| last != 0),
    })
}

fn second(message: &Message<'_>) -> Option<Version> {
    let said = message.message(line_2::CONTENT)?;
    Some(Version {
        device: device(&said, line_2::DEVICE)?,
        line: message.number(line_2::NUMBER)?,
        number: message.number(line_2::VERSION)?,
        text: said.text(line_2::TEXT).filter(|text| !text.is_empty())?.to_owned(),
        is_last: said.number(line_2::LAST).is_some_and(|last| last != 0),
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
