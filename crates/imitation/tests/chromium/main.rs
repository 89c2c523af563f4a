//! Tests of the imitation with a real Chromium.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod browser;
mod faults;
mod joining;
mod screens;
mod voices;
