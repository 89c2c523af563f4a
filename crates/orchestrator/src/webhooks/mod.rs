//! Webhooks: sent from the outbox until they arrive.

mod post;
pub(crate) mod sender;
pub(crate) mod test_event;

pub(crate) use self::post::Post;

#[cfg(test)]
mod reach_table;
#[cfg(test)]
pub(crate) mod spellings;
