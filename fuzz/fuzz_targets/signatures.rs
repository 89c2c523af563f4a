//! Signatures and secrets of webhooks.

#![no_main]

use meetbot_types::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::signature(text);
    fuzzing::secret(text);
});
