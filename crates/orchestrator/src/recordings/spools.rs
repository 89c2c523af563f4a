//! When the server heard of the workers that have recordings on their own disks.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use meetbot_types::Timestamp;

/// The times of their last calls, by the names of their data folders.
#[derive(Debug, Default)]
pub(crate) struct Spools(Mutex<HashMap<String, Timestamp>>);

impl Spools {
    /// A worker calls.
    pub(crate) fn hear(&self, spool: &str, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(spool.to_owned(), now);
    }

    /// When it called last; `None` if it has not called this server.
    pub(super) fn heard(&self, spool: &str) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(spool).copied()
    }
}
