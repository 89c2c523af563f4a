//! What was received and written so far, for the reporter's heartbeats.

use std::sync::{Arc, Mutex, PoisonError};

use meetbot_types::bot::MediaCounters;

/// Numbers for the heartbeat, shared with the reporter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<MediaCounters>>);

impl Counters {
    /// What they are now.
    pub(crate) fn get(&self) -> MediaCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, add: impl FnOnce(&mut MediaCounters)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
