//! Webhooks: sent from the outbox until they arrive.

pub mod guard;
pub mod schedule;
pub mod sender;
