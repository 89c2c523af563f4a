//! Peers on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod hostile;
mod pair;
mod pauses;
