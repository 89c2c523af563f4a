//! Messages between the programs, manifests and webhooks.

#![no_main]

use meetbot_types::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = fuzzing::sandbox(text);
    let _ = fuzzing::reports(text);
    let _ = fuzzing::manifest(text);
    let _ = fuzzing::webhook(text);
});
