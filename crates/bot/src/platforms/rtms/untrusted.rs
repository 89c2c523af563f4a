//! Checks on the parser of messages from Zoom's servers: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use std::time::Duration;

use super::{
    protocol::{MediaType, Message, StreamId},
    session::{Action, Line, Session},
    streams::Streams,
};
use crate::clock;

/// A conversation with Zoom's servers, one message on each line: each line causes a bounded number of actions. Every dialled connection is up at once.
pub fn zoom(words: &str) {
    const MEDIA: [MediaType; 5] = [
        MediaType::Audio,
        MediaType::Video,
        MediaType::Share,
        MediaType::Transcript,
        MediaType::Chat,
    ];
    let mut now = clock::now();
    let id = StreamId {
        meeting_uuid: "U/+==".to_owned(),
        stream: "S".to_owned(),
        signature: "hex".to_owned(),
    };
    let urls = vec!["wss://rtms.zoom.us".to_owned()];
    let (mut session, _) = Session::begin(id, urls, MEDIA.to_vec(), now);
    let mut streams = Streams::default();
    let _ = session.connected(Line::Signalling, now);
    // Actions from before the first audio are released with it.
    let mut few = 0;
    for line in words.lines() {
        now += Duration::from_millis(500);
        for on in MEDIA.map(Line::Media).into_iter().chain([Line::Signalling]) {
            let Ok(message) = Message::read(line) else { break };
            let actions = session.on_message(on, message, now);
            few += 16 + line.len() / 8;
            assert!(actions.len() <= few, "{} actions", actions.len());
            few -= actions.len();
            for act in actions {
                match act {
                    Action::Dial(line, _) => drop(session.connected(line, now)),
                    Action::Media { media: MediaType::Audio, piece, .. } => {
                        drop(streams.sound(piece, session.sound(), now));
                    }
                    Action::Media { media, piece, .. } => drop(streams.picture(media, piece, now)),
                    Action::Speaks(person) => streams.speaks(person, now),
                    Action::Shares(person) => streams.shares(person),
                    _ => {}
                }
            }
        }
        assert!(session.poll(now).len() <= 16 + few);
    }
}

#[cfg(test)]
mod tests {
    use xtask::hostile_inputs;

    use super::*;

    #[test]
    fn hostile_zoom_messages_are_read_and_cause_few_actions() {
        let whole = [
            r#"{"msg_type":2,"status_code":0,"media_server":{"server_urls":{"all":"wss://m.zoom.us"}}}"#,
            r#"{"msg_type":4,"status_code":0,"reason":""}"#,
            r#"{"msg_type":4,"status_code":18,"reason":"codec"}"#,
            r#"{"msg_type":6,"event":{"event_type":3,"participants":[{"user_id":1,"user_name":"Ada"},{"user_id":"2"}]}}"#,
            r#"{"msg_type":6,"event":{"event_type":2,"user_id":1,"user_name":"Ada"}}"#,
            r#"{"msg_type":6,"event":{"event_type":7,"media_type":3}}"#,
            r#"{"msg_type":14,"content":{"user_id":1,"user_name":"Ada","data":"eAEC","timestamp":1738394033000}}"#,
            r#"{"msg_type":15,"content":{"user_id":1,"data":"AAAAAWUB","timestamp":1738394033000}}"#,
            r#"{"msg_type":17,"content":{"user_id":1,"data":"hello","timestamp":1,"start_time":0,"end_time":1}}"#,
            r#"{"msg_type":12,"timestamp":1}"#,
            r#"{"msg_type":9,"state":5,"stop_reason":6}"#,
            r#"{"msg_type":8,"state":4,"reason":8}"#,
        ];
        let all = whole.join("\n");
        let corpus: Vec<&str> = whole.into_iter().chain([all.as_str()]).collect();
        hostile_inputs::feed(&corpus, zoom);
    }
}
