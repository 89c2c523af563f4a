//! Messages of a Janus server.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::conversation(text);
});
