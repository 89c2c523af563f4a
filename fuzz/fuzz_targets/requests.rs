//! Requests of the API.

#![no_main]

use meetbot_orchestrator::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = fuzzing::new_job(text, true);
    let _ = fuzzing::new_job(text, false);
    let _ = fuzzing::admin_bodies(text);
    fuzzing::query(text);
    fuzzing::header(text);
});
