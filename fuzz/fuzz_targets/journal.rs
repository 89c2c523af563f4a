//! Journals that a dead bot left behind.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::journal(text);
});
