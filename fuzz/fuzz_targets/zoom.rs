//! Messages of Zoom's media servers.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::zoom(text);
});
