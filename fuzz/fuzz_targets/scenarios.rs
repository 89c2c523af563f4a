//! Scenarios of the sandbox.

#![no_main]

use meetbot_sandbox::scenario;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = scenario::check(text);
});
