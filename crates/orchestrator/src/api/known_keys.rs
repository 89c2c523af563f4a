//! A short-lived cache of keys and sessions, so that not every request reads the store.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::ConsumerId;

use crate::{clock::Now, store::Key};

/// How long a key is cached. A key that was revoked, also by another process, is refused after at most this time.
const KEEP: Duration = Duration::from_millis(800);
const AT_MOST: usize = 4096;

/// A cached key.
#[derive(Debug)]
struct Known {
    key: Arc<Key>,
    /// On the steady clock.
    until: Duration,
}

#[derive(Debug, Default)]
struct Keys {
    by_hash: HashMap<[u8; 32], Known>,
    /// In the order of the lookups, with the end of each; a key that was looked up again is here twice.
    oldest_first: VecDeque<([u8; 32], Duration)>,
}

impl Keys {
    fn drop_the_oldest(&mut self) {
        if let Some((hash, until)) = self.oldest_first.pop_front()
            && self.by_hash.get(&hash).is_some_and(|known| known.until == until)
        {
            self.by_hash.remove(&hash);
        }
    }
}

/// Keys by the hash of the credential (key or session); the credentials themselves are not kept in memory.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    keys: Mutex<Keys>,
}

impl KnownKeys {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key with this hash, if it is cached.
    pub(crate) fn get(&self, hash: &[u8; 32], now: Now) -> Option<Arc<Key>> {
        let keys = self.keys();
        let known = keys.by_hash.get(hash).filter(|known| known.until > now.steady)?;
        Some(Arc::clone(&known.key))
    }

    /// Removes the keys of an erased consumer.
    pub(crate) fn forget(&self, consumer: ConsumerId) {
        self.keys().by_hash.retain(|_, known| known.key.tenant.consumer != consumer);
    }

    /// Removes one credential: a session that has ended.
    pub(crate) fn forget_shown(&self, hash: &[u8; 32]) {
        self.keys().by_hash.remove(hash);
    }

    /// Caches the key that the store returned for this hash at `now`.
    pub(crate) fn keep(&self, hash: [u8; 32], key: Key, now: Now) -> Arc<Key> {
        let (key, until) = (Arc::new(key), now.steady + KEEP);
        let mut keys = self.keys();
        while keys.oldest_first.front().is_some_and(|(_, until)| *until <= now.steady)
            || keys.oldest_first.len() >= AT_MOST
        {
            keys.drop_the_oldest();
        }
        keys.oldest_first.push_back((hash, until));
        keys.by_hash.insert(hash, Known { key: Arc::clone(&key), until });
        key
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::{KeyId, Timestamp};

    use super::*;
    use crate::store::{Scope, Tenant};

    fn at(ms: u64) -> Now {
        Now { wall: Timestamp::UNIX_EPOCH, steady: Duration::from_millis(ms) }
    }

    fn key(consumer: ConsumerId, number: usize) -> Key {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        Key {
            id: KeyId::generate(Timestamp::UNIX_EPOCH),
            tenant: Tenant { consumer, live: true },
            consumer_name: "acme".to_owned(),
            scope: Scope::Read,
            prefix: format!("mb_live_{number:08}"),
            hash,
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_full_cache_drops_only_the_oldest_key() {
        let consumer = ConsumerId::generate(Timestamp::UNIX_EPOCH);
        let known = KnownKeys::default();
        let keys: Vec<Key> = (0..=AT_MOST).map(|number| key(consumer, number)).collect();
        for key in &keys {
            known.keep(key.hash, key.clone(), at(0));
        }
        let is_known = |number: usize, ms| known.get(&keys[number].hash, at(ms)).is_some();
        assert!(!is_known(0, 1));
        assert!((1..=AT_MOST).all(|number| is_known(number, 1)));
        // A new lookup makes a key the youngest.
        known.keep(keys[1].hash, keys[1].clone(), at(700));
        assert!(is_known(1, 1_400) && !is_known(2, 1_400));
        known.keep(keys[0].hash, keys[0].clone(), at(1_400));
        assert!(is_known(0, 1_401) && is_known(1, 1_401));
        assert!(known.keys().by_hash.len() <= 2, "those whose time is over are gone");
    }

    #[test]
    fn only_the_keys_of_an_erased_consumer_are_removed() {
        let known = KnownKeys::default();
        let [one, other] = [0, 1].map(|_| ConsumerId::generate(Timestamp::UNIX_EPOCH));
        let keys = [key(one, 0), key(other, 1), key(one, 2)];
        for key in &keys {
            known.keep(key.hash, key.clone(), at(0));
        }
        known.forget(one);
        assert_eq!(keys.map(|key| known.get(&key.hash, at(1)).is_some()), [false, true, false]);
    }
}
