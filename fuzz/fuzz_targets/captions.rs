//! Messages of the channels for captions of a meeting page.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::captions(bytes);
});
