//! Checks on the parsers of session descriptions and candidates: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use super::{Peer, description};
use crate::Guard;

/// A description that is taken apart.
pub fn description(text: &str) {
    if let Ok(description) = description::read(text) {
        assert!(!description.sdp.split('\n').any(|line| line.starts_with("a=candidate:")));
        assert!(description.sdp.len() <= text.len());
    }
}

/// Reads a text as an offer, an answer and a candidate, with a guard that refuses every address: the peer must find none.
pub fn session_description(text: &str) {
    let mut peer = Peer::new(None, Guard::new(|_| false, "refused"));
    let _ = peer.add_remote_candidate(text);
    let _ = peer.accept_answer(text);
    let _ = peer.accept_offer(text);
    let said = peer.why_no_path().to_string();
    assert!(said.contains("refused") || said.contains("no address"), "{said}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_hostile_description_is_read_or_refused_and_reaches_no_address() {
        let mut sender = Peer::new(None, Guard::everywhere());
        let kinds = [(Kind::Audio, "voice".to_owned()), (Kind::Video, "face".to_owned())];
        let (_, offer) = sender.offer(&kinds).unwrap();
        let candidate = "candidate:1 1 udp 1 192.0.2.1 9 typ host";
        let named = format!("{offer}a={candidate}\r\na=candidate:2 1 udp 1 a.local 9 typ host\r\n");
        let (_, channel) = Peer::new(None, Guard::everywhere()).open_channel("chat");
        let channel = channel.unwrap();
        let corpus = [&offer, &named, &channel, candidate];
        xtask::hostile_inputs::feed(&corpus, description);
        // A session takes a while to make: `fuzz/` feeds it more. A line less is another description.
        for text in corpus {
            for left_out in 0..=text.lines().count() {
                let lines = text.split_inclusive('\n').enumerate();
                let less = lines.filter(|(line, _)| *line != left_out).map(|(_, line)| line);
                session_description(&less.collect::<String>());
            }
        }
    }
}
