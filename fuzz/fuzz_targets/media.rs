//! Video and audio packets with their times, and responses of STUN servers.

#![no_main]

use meetbot_bot::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::picture(bytes);
    fuzzing::voice(bytes);
    fuzzing::timeline(bytes);
    meetbot_rtc::fuzzing::stun(bytes);
});
