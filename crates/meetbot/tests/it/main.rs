//! The SDK against a scripted server, with valid and invalid answers; and the number of crates that its users compile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod calls;
mod dependencies;
mod download;
mod invalid_answers;
mod recordings;
mod server;
mod settings;
mod traces;
mod wait;
mod watch;
