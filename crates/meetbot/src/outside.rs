//! What a server answers, and what has to hold whatever it is: the tests feed nasty inputs, the targets in `fuzz/` feed others for as long as one likes.

#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use meetbot_types::Timestamp;

use crate::{
    events::Parser,
    retry::{Outcome, decide, retry_after},
};

/// An event stream gives events or an error, in whatever pieces it comes.
pub fn stream(bytes: &[u8]) {
    let read = |size: usize| {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(size) {
            match parser.feed(piece) {
                Ok(some) => events.extend(some),
                Err(_) => return None,
            }
        }
        Some((events, parser.last_id))
    };
    assert_eq!(read(4_096), read(1_021));
}

/// A `Retry-After` is a wait or nothing.
pub fn wait(header: &str) {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let wait = retry_after(header, now);
    let _ = decide(1, 3, Outcome::Answer(429), wait, 1.0);
}

#[cfg(test)]
mod tests {
    use xtask::nasty;

    use super::*;

    #[test]
    fn a_nasty_stream_gives_events_or_an_error() {
        let corpus = [
            "id: 1\nevent: a\ndata: {}\n\n",
            ": \n\r\n\rdata\ndata:\n\nid\n\n",
            "retry: 18446744073709551616\n",
        ];
        nasty::feed(&corpus, |text| stream(text.as_bytes()));
    }

    #[test]
    fn a_nasty_retry_after_is_a_wait_or_none() {
        let corpus = [
            "5",
            "1.5",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ];
        nasty::feed(&corpus, wait);
    }
}
