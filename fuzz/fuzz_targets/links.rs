//! Links of meetings.

#![no_main]

use meetbot_types::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::link(text);
});
