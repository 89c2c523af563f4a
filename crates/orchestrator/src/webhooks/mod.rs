//! Webhooks: sent from the outbox until they arrive.

mod post;
pub(crate) mod sender;

#[cfg(test)]
mod reach_table;
#[cfg(test)]
pub(crate) mod spellings;
