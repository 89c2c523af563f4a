//! Session descriptions and candidates.

#![no_main]

use meetbot_rtc::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::description(text);
    fuzzing::session_description(text);
});
