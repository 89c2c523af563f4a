//! What a text room of Janus says.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::captured(bytes);
});
