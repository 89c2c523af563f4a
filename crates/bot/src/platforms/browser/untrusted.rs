//! Checks on the parsers of data from a meeting page: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    capture::{self, Record},
    lanes::Lanes,
    products::google_meet::{captions as caption_lines, fields, wire},
};
use crate::clock;

/// A message of `collections`, and the answer of the call for the roster: each person has a device.
pub fn collections(bytes: &[u8]) {
    let update = wire::collections(bytes).unwrap_or_default();
    let roster = wire::roster(STANDARD.encode(bytes).as_bytes()).unwrap_or_default();
    let mut people = update.people.iter().chain(&roster);
    assert!(people.all(|person| person.device.starts_with("spaces/")), "{update:?}");
    let _ = wire::roster(bytes);
    let mut counts = BTreeMap::new();
    fields::count("collections", bytes, &mut counts);
    assert!(counts.len() <= 500, "{}", counts.len());
}

/// A message of the channels for captions: each line has a device and a text.
pub fn captions(bytes: &[u8]) {
    for label in ["captions", "captions_v2"] {
        let lines = caption_lines::captions(label, bytes).unwrap_or_default();
        let mut lines = lines.iter();
        assert!(
            lines.all(|it| it.device.starts_with("spaces/") && !it.text.is_empty()),
            "{lines:?}"
        );
    }
}

/// A batch of a page: no packet is written twice, and none without a packet of Opus.
pub fn captured(batch: &[u8]) {
    let now = clock::now();
    let mut lanes = Lanes::new(now);
    for record in capture::records(&STANDARD.encode(batch)) {
        if let Record::Sound(sound) = record {
            assert!(!sound.data.is_empty() && sound.sources.len() <= 15, "{sound:?}");
            assert!(lanes.take(sound, now).len() <= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use xtask::hostile_inputs;

    use super::*;

    #[test]
    fn hostile_page_data_are_read_or_refused() {
        let roster =
            "\n#\u{12}!j\u{1f}\n\u{1d}\u{12}\u{1b}\n\u{12}spaces/a/devices/7\u{12}\u{3}Ann \u{1}";
        hostile_inputs::feed(&[roster, "x\u{1}\u{2}", "\u{1f}"], |bytes| {
            collections(bytes.as_bytes());
        });
        let line =
            "\n\u{23}\n\u{12}spaces/a/devices/7\u{10}\u{5}\u{18}\u{2}\u{20}\u{1}2\u{7}so it i";
        let second = "\n\u{28}\n\u{26}\u{8}\u{5}\u{10}\u{2}\u{1a}\u{20}\u{1a}\u{8}so it is2\u{12}spaces/a/devices/7H\u{1}";
        for (label, line) in [("captions", line), ("captions_v2", second)] {
            assert_eq!(
                caption_lines::captions(label, line.as_bytes()).unwrap().len(),
                1,
                "{label}"
            );
        }
        hostile_inputs::feed(&[line, second], |bytes| captions(bytes.as_bytes()));
        let sound = "\0\0\0\0\0\0\0\0\u{1}\u{1a}\0\0\0\u{1}\u{7}\0\0\0\0\0\0\u{1}\0\0\0\0\0\0\0\0\0\u{1}\0\0\0\u{7}H\u{1}";
        hostile_inputs::feed(&[sound, "\0\0\0\0\0\0\0\0\u{3}\u{2}\0\0\0{}"], |bytes| {
            captured(bytes.as_bytes());
        });
    }
}
