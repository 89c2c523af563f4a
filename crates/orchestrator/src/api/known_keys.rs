//! Keys that were looked up a moment ago, so that not every request asks the store.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::Now, keys, store::Key};

/// How long a key is believed; a revoked one opens nothing after this time.
const KEEP: Duration = Duration::from_millis(800);
const AT_MOST: usize = 4096;

/// The keys, by their hash: the memory of the process holds none.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    keys: Mutex<HashMap<[u8; 32], (Key, Duration)>>,
}

impl KnownKeys {
    /// The key, when it was looked up a moment ago.
    pub(crate) fn get(&self, token: &str, now: Now) -> Option<Key> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, until) = keys.get(&keys::hash(token))?;
        (*until > now.steady).then(|| key.clone())
    }

    /// Forgets all: one of them may be gone.
    pub(crate) fn forget(&self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Remembers one that the store has just shown.
    pub(crate) fn keep(&self, key: Key, now: Now) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= AT_MOST {
            keys.clear();
        }
        keys.insert(key.hash, (key, now.steady + KEEP));
    }
}
