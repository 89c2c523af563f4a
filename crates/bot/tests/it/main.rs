//! Tests of a whole bot with a real sandbox and a fake orchestrator, including their outages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod attempts;
mod google_meet;
mod google_meet_encoded_again;
mod google_meet_files;
mod google_meet_killed;
mod google_meet_video;
mod janus;
mod meetings;
mod orchestrator;
mod unresponsive;
mod versions;
mod withheld;
mod zoom;
mod zoom_faults;
