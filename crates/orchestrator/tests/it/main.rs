//! The server from the outside: through the SDK and over bare HTTP, with a launcher whose bots are played by the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod admin;
mod admin_keys;
mod answers;
mod bots;
mod drain;
mod feed;
mod fields;
mod host;
mod jobs;
mod keys;
mod limits;
mod logins;
mod matrix;
mod metrics;
mod mixes;
mod platforms;
mod quotas;
mod retention;
mod room_bots;
mod rude_callers;
mod rude_endpoints;
mod secrets;
mod server;
mod sessions;
mod socket;
mod versions;
mod webhooks;
mod withheld;
mod worlds;
mod zoom;
