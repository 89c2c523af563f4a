//! Times, ids and metadata.

#![no_main]

use meetbot_types::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::time(text);
    fuzzing::id(text);
    fuzzing::metadata(text);
});
