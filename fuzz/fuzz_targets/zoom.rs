//! What Zoom's media servers say.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::zoom(text);
});
