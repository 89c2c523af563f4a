//! Messages of Google Meet's `collections` channel, and its roster.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::collections(bytes);
});
