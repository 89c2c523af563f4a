//! Checks on the parsers of server responses: each function asserts what holds for every input.
//!
//! The tests feed hostile inputs; the targets in `fuzz/` feed inputs that libFuzzer generates.

#![cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for `fuzz/` alone"))]

use meetbot_types::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    events::Parser,
    models::{self, Delivery, Job, Manifest, TimelineEvent, WebhookEvent},
    pieces::content_range,
    retry::{Outcome, decide, retry_after},
};

/// An event stream, split at any position, gives events or an error.
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

/// A `Content-Range` is a part of a file or nothing.
pub fn range(header: &str) {
    if let Some((first, last, total)) = content_range(header) {
        assert!(first <= last && last < total, "{header}");
    }
}

/// An answer reads as what it writes again, or not at all. Answers whether it was read.
pub fn answer(body: &[u8]) -> bool {
    fn survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
        body: &[u8],
    ) -> bool {
        let Ok(value) = models::plain::<T>(body) else { return false };
        let written = serde_json::to_vec(&value).expect("an answer is written as JSON");
        assert_eq!(models::plain::<T>(&written).expect("it is read again"), value);
        true
    }
    survives::<Job>(body)
        | survives::<Manifest>(body)
        | survives::<Delivery>(body)
        | survives::<TimelineEvent>(body)
        | survives::<WebhookEvent>(body)
}

#[cfg(test)]
mod tests {
    use xtask::hostile_inputs;

    use super::*;

    #[test]
    fn a_hostile_stream_gives_events_or_an_error() {
        let corpus = [
            "id: 1\nevent: a\ndata: {}\n\n",
            ": \n\r\n\rdata\ndata:\n\nid\n\n",
            "retry: 18446744073709551616\n",
        ];
        hostile_inputs::feed(&corpus, |text| stream(text.as_bytes()));
    }

    #[test]
    fn a_hostile_retry_after_is_a_wait_or_none() {
        let corpus = [
            "5",
            "1.5",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ];
        hostile_inputs::feed(&corpus, wait);
    }

    #[test]
    fn a_hostile_content_range_is_a_part_of_a_file_or_nothing() {
        let corpus =
            ["bytes 0-9/10", "bytes 5-18446744073709551614/18446744073709551615", "bytes */1"];
        hostile_inputs::feed(&corpus, range);
    }
}
