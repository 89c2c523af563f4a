//! Settings, and the URLs that webhooks go to.

#![no_main]

use meetbot_orchestrator::fuzzing;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = fuzzing::webhook_url(text);
    fuzzing::network(text);
    fuzzing::settings(text);
    fuzzing::listen(text);
});
