//! The SDK against a server that says what a test tells it to, lies included; and what the SDK costs its users.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod calls;
mod dependencies;
mod download;
mod lies;
mod recordings;
mod server;
mod settings;
mod traces;
mod wait;
mod watch;
