//! Tests of the server with the SDK and with plain HTTP. The launcher hands the orders of bots to the test, which plays the bots.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod admin;
mod admin_keys;
mod answers;
mod bots;
mod drain;
mod feed;
mod fields;
mod host;
mod hostile_callers;
mod hostile_endpoints;
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
mod secrets;
mod server;
mod sessions;
mod socket;
mod versions;
mod webhooks;
mod withheld;
mod worlds;
mod zoom;
