//! Tests of merging chats and captions.

use super::*;
use crate::recording::files::write_whole;

const NO_END: Fit = Fit { later_ms: 0, until_ms: None };

fn said(at_ms: u64, id: &str) -> String {
    let message = ChatMessage {
        id: id.to_owned(),
        sender_id: "p".to_owned(),
        sender: "Ann".to_owned(),
        text: "Hello.".to_owned(),
        private: false,
        at_ms,
    };
    serde_json::to_string(&message).unwrap() + "\n"
}

fn captioned(start_ms: u64, text: &str) -> String {
    let caption = Caption {
        speaker_id: "p".to_owned(),
        speaker: "Ann".to_owned(),
        start_ms,
        end_ms: start_ms + 700,
        text: text.to_owned(),
    };
    serde_json::to_string(&caption).unwrap() + "\n"
}

/// An attempt's file after the merge; `None` if nothing changes.
fn merged(
    own: &str,
    own_ms: u64,
    earlier: &[(Fit, String)],
    read: Read,
    same_ms: u64,
) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        write_whole(&path, |file| file.write_all(text.as_bytes())).unwrap();
        path
    };
    let files = earlier.iter().enumerate();
    let earlier: Vec<_> =
        files.map(|(number, (fit, text))| (*fit, write(&number.to_string(), text))).collect();
    let mut text = Vec::new();
    plan(&write("own", own), own_ms, earlier, read, same_ms).unwrap()?.write(&mut text).unwrap();
    Some(String::from_utf8(text).unwrap())
}

/// The chat after the merge; the own one if nothing changes.
fn chat_of(own: &str, own_ms: u64, earlier: &[(Fit, String)]) -> String {
    merged(own, own_ms, earlier, chat, SAME_CHAT_MS).unwrap_or_else(|| own.to_owned())
}

#[test]
fn late_messages_stand_where_their_times_belong_and_none_twice() {
    let own = said(100, "a") + &said(9_000, "d") + &said(9_500, "e");
    let first = said(100, "a") + &said(4_000, "b") + &said(5_000, "c") + &said(8_990, "d");
    let second = said(100, "a") + &said(7_000, "f");
    let earlier = [(NO_END, first), (NO_END, second)];
    let merged = chat_of(&own, 0, &earlier);
    let order = said(100, "a")
        + &said(4_000, "b")
        + &said(5_000, "c")
        + &said(7_000, "f")
        + &said(9_000, "d")
        + &said(9_500, "e");
    assert_eq!(merged, order);
    assert_eq!(chat_of(&merged, 0, &earlier), merged);
}

#[test]
fn what_a_bot_reads_beside_its_successor_is_left_out() {
    let first = said(100, "a") + &said(5_000, "b") + &said(5_001, "c");
    let fit = Fit { later_ms: 0, until_ms: Some(5_000) };
    let (a, b) = (said(100, "a"), said(5_000, "b"));
    assert_eq!(chat_of(&a, 0, &[(fit, first.clone())]), a.clone() + &b);
    assert_eq!(chat_of("", 0, &[(fit, first)]), a + &b);
}

#[test]
fn nothing_changes_where_nothing_is_late() {
    let own = said(100, "a") + &said(200, "b");
    let earlier = [said(100, "a"), String::new(), said(100, "a") + "{\"id\":"];
    for earlier in &earlier {
        let earlier = [(NO_END, earlier.clone())];
        assert_eq!(merged(&own, 0, &earlier, chat, SAME_CHAT_MS), None);
    }
    assert_eq!(merged("", 300, &[], chat, SAME_CHAT_MS), None);
}

#[test]
fn messages_count_from_the_beginning_of_the_recording() {
    let fit = Fit { later_ms: 200, until_ms: Some(1_300) };
    let merged = chat_of(&said(1_000, "b"), 300, &[(fit, said(900, "a") + &said(1_101, "c"))]);
    assert_eq!(merged, said(1_100, "a") + &said(1_300, "b"));
}

#[test]
fn lines_of_an_own_file_that_cannot_be_read_stay() {
    let own = said(100, "a") + "{\"v\":2}\n" + &said(900, "c");
    let earlier = [(NO_END, said(100, "a") + &said(500, "b"))];
    let expected = said(100, "a") + "{\"v\":2}\n" + &said(500, "b") + &said(900, "c");
    assert_eq!(chat_of(&own, 0, &earlier), expected);
}

#[test]
fn a_caption_that_two_bots_heard_stands_once() {
    let own = captioned(5_000, "Yes.") + &captioned(9_000, "Yes.");
    let earlier = captioned(4_200, "Yes.") + &captioned(6_500, "Yes.") + &captioned(6_600, "No.");
    let earlier = [(NO_END, earlier)];
    let merge = |own_ms| merged(&own, own_ms, &earlier, caption, SAME_CAPTION_MS).unwrap();
    let expected = captioned(5_300, "Yes.")
        + &captioned(6_500, "Yes.")
        + &captioned(6_600, "No.")
        + &captioned(9_300, "Yes.");
    assert_eq!(merge(300), captioned(4_200, "Yes.") + &expected);
    assert_eq!(merge(0).lines().count(), 4);
}
