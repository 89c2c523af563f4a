//! Responses of a server, which the SDK reads.

#![no_main]

use meetbot::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::stream(bytes);
    fuzzing::answer(bytes);
    if let Ok(header) = std::str::from_utf8(bytes) {
        fuzzing::wait(header);
        fuzzing::range(header);
    }
});
