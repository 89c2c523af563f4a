//! The imitation, visited by a real Chromium that this test drives: what the bot's engine will meet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod browser;
mod faults;
mod joining;
mod screens;
mod voices;
