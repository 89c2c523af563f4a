//! A whole bot against a real sandbox and an orchestrator that the test plays, the ways included in which one goes away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod attempts;
mod deaf;
mod google_meet;
mod google_meet_killed;
mod google_meet_video;
mod janus;
mod meetings;
mod orchestrator;
mod versions;
mod withheld;
mod zoom;
mod zoom_faults;
