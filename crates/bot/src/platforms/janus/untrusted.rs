//! Checks on the parsers of messages from a Janus server: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![expect(clippy::unwrap_used, reason = "a failed check panics at its line")]
#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use std::time::Duration;

use meetbot_types::MeetingLink;
use serde_json::json;

use super::{
    address::Address,
    chat::Chat,
    message::{Id, Message},
    session::{Action, Session},
};
use crate::clock;

/// A conversation with a Janus server, one message on each line: each line causes a bounded number of actions.
pub fn conversation(words: &str) {
    let link = "janus+wss://janus.example.com/?room=1234&textroom=1234";
    let address = Address::of(&MeetingLink::parse(link, None).unwrap()).unwrap();
    let mut now = clock::now();
    let (mut session, _) =
        Session::begin(&address, "meetbot".to_owned(), Id::Number(1), Vec::new(), now);
    for line in words.lines() {
        now += Duration::from_millis(500);
        let Ok(message) = Message::read(line) else { continue };
        let Ok(actions) = session.on_message(message, now) else { return };
        for act in &actions {
            if let Action::Answer { handle, sdp } = act {
                let _ = session.answered(*handle, sdp);
                let _ = session.media_is_up(now);
            }
        }
        assert!(actions.len() <= 8 + line.len() / 8, "{} actions", actions.len());
        let Ok(due) = session.poll(now) else { return };
        assert!(due.len() <= 2, "{due:?}");
        let _ = (session.owner("0"), session.talks("0"), session.keyframe("0"));
    }
}

/// Messages on the channel of a text room.
pub fn text_room(words: &[u8]) {
    let mut chat = Chat::new(json!(1234), "bot", "1.1".to_owned());
    for word in words.split(|byte| *byte == b'\n') {
        let _ = chat.on_message(word);
        let _ = chat.message("hello");
    }
}

#[cfg(test)]
mod tests {
    use xtask::hostile_inputs;

    use super::*;

    #[test]
    fn hostile_janus_messages_are_read_and_cause_few_actions() {
        let whole = [
            r#"{"janus":"success","transaction":"create","data":{"id":1}}"#,
            r#"{"janus":"success","transaction":"attach-roster","data":{"id":2}}"#,
            r#"{"janus":"success","transaction":"attach-media","data":{"id":3}}"#,
            r#"{"janus":"event","sender":2,"transaction":"join","plugindata":{"data":{"videoroom":"joined","id":9,"publishers":[{"id":7,"display":"Ann","streams":[{"type":"audio","mid":"0","codec":"opus"},{"type":"video","mid":"1","codec":"vp8","simulcast":"true"}]}]}}}"#,
            r#"{"janus":"event","sender":3,"transaction":"subscribe","plugindata":{"data":{"videoroom":"attached","streams":[{"mid":"0","feed_id":7,"feed_mid":"0"}]}},"jsep":{"type":"offer","sdp":"v=0"}}"#,
            r#"{"janus":"event","sender":2,"plugindata":{"data":{"videoroom":"event","leaving":"ok","reason":"kicked"}}}"#,
            r#"{"janus":"event","sender":2,"plugindata":{"data":{"videoroom":"event","error_code":426,"error":"No such room"}}}"#,
            r#"{"janus":"trickle","sender":3,"candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host"}}"#,
            r#"{"janus":"hangup","sender":3,"reason":"ICE failed"}"#,
        ];
        let all = whole.join("\n");
        let corpus: Vec<&str> = whole.into_iter().chain([all.as_str()]).collect();
        hostile_inputs::feed(&corpus, conversation);
    }

    #[test]
    fn hostile_text_room_messages_are_read_or_refused() {
        let corpus = [
            r#"{"textroom":"success","transaction":"join","participants":[{"username":"u1","display":"Ann"}]}"#,
            r#"{"textroom":"message","from":"u1","text":"hi","whisper":true}"#,
            r#"{"textroom":"error","transaction":"join","error":"No such room"}"#,
            r#"{"textroom":"kicked","username":"bot-1.1"}"#,
        ];
        hostile_inputs::feed(&corpus, |words| text_room(words.as_bytes()));
    }
}
