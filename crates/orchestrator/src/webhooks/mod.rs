//! Webhooks: sent from the outbox until they arrive.

pub(crate) mod breaker;
pub(crate) mod guard;
mod lanes;
mod post;
pub(crate) mod schedule;
pub(crate) mod sender;

#[cfg(test)]
mod reach_table;
#[cfg(test)]
pub(crate) mod spellings;
