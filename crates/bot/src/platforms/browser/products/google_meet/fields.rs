//! Which fields Google Meet's messages have, and which of them the bot reads. Only numbers are read of the unknown ones, never their values. Pure.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{CALL, compression::unpack, layout::KINDS, protobuf::Message};

/// How many different fields are counted at most.
const MOST_FIELDS: usize = 500;

/// The meaning of a field, and its path.
pub(crate) type Known = (&'static str, Vec<u32>);

/// The fields of a channel's messages, or of a call's answers, that the bot reads; none if it does not read them.
pub(crate) fn known(channel: &str) -> Vec<Known> {
    let kinds = KINDS.into_iter().filter(|kind| kind.channel == channel);
    let fields = kinds.flat_map(|kind| kind.fields.iter().map(|field| (kind.path, field)));
    fields.map(|(path, (meaning, field))| (*meaning, [path, field].concat())).collect()
}

/// Counts the fields of a message of a channel, or of the answer of the call. Returns whether it can be read.
pub(crate) fn count(channel: &str, bytes: &[u8], counts: &mut BTreeMap<Vec<u32>, u64>) -> bool {
    let decoded;
    let mut bytes = bytes;
    if channel == CALL {
        let Ok(answer) = STANDARD.decode(bytes.trim_ascii()) else { return false };
        decoded = answer;
        bytes = &decoded;
    }
    let Some(unpacked) = unpack(bytes) else { return false };
    let Some(message) = Message::read(&unpacked) else { return false };
    visit(&message, &mut Vec::new(), &known(channel), counts);
    true
}

fn visit(
    message: &Message<'_>,
    path: &mut Vec<u32>,
    known: &[Known],
    counts: &mut BTreeMap<Vec<u32>, u64>,
) {
    for number in message.numbers() {
        path.push(number);
        if counts.len() < MOST_FIELDS || counts.contains_key(path) {
            *counts.entry(path.clone()).or_default() += 1;
        }
        path.pop();
    }
    // Only messages on the way to a known field are opened: in another one, a person's text could be taken for fields.
    let mut opened = Vec::new();
    for (_, of_known) in known {
        let Some([number, _, ..]) = of_known.strip_prefix(path.as_slice()) else { continue };
        if !opened.contains(number) {
            opened.push(*number);
            path.push(*number);
            for inner in message.under(&[*number]) {
                visit(&inner, path, known, counts);
            }
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_fields_are_counted_without_their_values() {
        // 1 { 2 { 13 { 1 { 2 { 1: "d" 2: "Ann" 99: "hush" } } } 40: "hush" } }
        let person = b"\x0A\x01d\x12\x03Ann\x9A\x06\x04hush";
        let mut message = Vec::new();
        for (key, before) in [(0x12_u8, &person[..]), (0x0A, b""), (0x6A, b"")] {
            let inner = if message.is_empty() { before.to_vec() } else { message };
            message = vec![key, u8::try_from(inner.len()).unwrap()];
            message.extend(inner);
        }
        message.extend(b"\xC2\x02\x04hush");
        for key in [0x12, 0x0A] {
            let inner = message;
            message = vec![key, u8::try_from(inner.len()).unwrap()];
            message.extend(inner);
        }
        let mut counts = BTreeMap::new();
        assert!(count("collections", &message, &mut counts));
        let paths: Vec<_> = counts
            .iter()
            .map(|(path, count)| {
                (path.iter().map(ToString::to_string).collect::<Vec<_>>().join("."), *count)
            })
            .collect();
        let expected = [
            "1",
            "1.2",
            "1.2.13",
            "1.2.13.1",
            "1.2.13.1.2",
            "1.2.13.1.2.1",
            "1.2.13.1.2.2",
            "1.2.13.1.2.99",
            "1.2.40",
        ];
        assert_eq!(paths, expected.map(|path| (path.to_owned(), 1)));
        assert!(!count("collections", b"no message", &mut counts));
        assert!(!count(CALL, b"{}", &mut counts));
        // Of a channel that the bot does not read, only the outermost fields are counted.
        let mut counts = BTreeMap::new();
        assert!(count("reactions", &message, &mut counts));
        assert_eq!(counts.into_keys().collect::<Vec<_>>(), [vec![1]]);
    }

    #[test]
    fn each_field_that_is_read_is_known_by_its_whole_path() {
        for (channel, path, meaning) in [
            ("collections", &[1, 2, 13, 1, 2, 29][..], "a participant's short name"),
            ("collections", &[1, 2, 13, 4, 2, 5, 1], "the text of a chat message"),
            (CALL, &[2, 2, 2, 34], "a host"),
            ("captions", &[1, 6], "the text of a line"),
            ("captions_v2", &[1, 1, 3, 9], "whether it is the last version"),
        ] {
            assert!(known(channel).contains(&(meaning, path.to_vec())), "{channel} {path:?}");
        }
        assert_eq!(known("collections").len(), 13);
        assert_eq!(known("reactions"), []);
    }
}
