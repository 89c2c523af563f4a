//! Keys that were looked up a moment ago, so that not every request asks the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::Now, store::Key};

/// How long a key is believed; one that was revoked, also by another process, opens nothing after this time.
const KEEP: Duration = Duration::from_millis(800);
const AT_MOST: usize = 4096;

/// A key as the store has shown it.
#[derive(Debug)]
struct Known {
    key: Arc<Key>,
    /// On the steady clock.
    until: Duration,
}

/// The keys, by their hash: the memory of the process holds none.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    keys: Mutex<HashMap<[u8; 32], Known>>,
}

impl KnownKeys {
    /// The key with this hash, when it was looked up a moment ago.
    pub(crate) fn get(&self, hash: &[u8; 32], now: Now) -> Option<Arc<Key>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(hash).filter(|known| known.until > now.steady)?;
        Some(Arc::clone(&known.key))
    }

    /// Whether the store has ever shown a key with this hash, as far as is remembered.
    pub(crate) fn has_seen(&self, hash: &[u8; 32]) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains_key(hash)
    }

    /// Forgets all: one of them may be gone.
    pub(crate) fn forget(&self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Remembers one that the store has shown when asked at `now`.
    pub(crate) fn keep(&self, key: Key, now: Now) -> Arc<Key> {
        let key = Arc::new(key);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= AT_MOST {
            keys.clear();
        }
        keys.insert(key.hash, Known { key: Arc::clone(&key), until: now.steady + KEEP });
        key
    }
}
