//! Webhooks: sent from the outbox until they arrive.

pub(crate) mod guard;
mod post;
pub(crate) mod schedule;
pub(crate) mod sender;
