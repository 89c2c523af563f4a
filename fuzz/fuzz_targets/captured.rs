//! Batches of captured audio and messages from a meeting page.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::captured(bytes);
});
