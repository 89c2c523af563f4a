//! Keys and sessions that were looked up a moment ago, so that not every request asks the store.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::ConsumerId;

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

#[derive(Debug, Default)]
struct Keys {
    by_hash: HashMap<[u8; 32], Known>,
    /// In the order in which they were looked up, with the end of that look: one that was looked up again stands here twice.
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

/// The keys, by the hash of what requests show, a key or a session: the memory of the process holds none.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    keys: Mutex<Keys>,
}

impl KnownKeys {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key with this hash, when it was looked up a moment ago.
    pub(crate) fn get(&self, hash: &[u8; 32], now: Now) -> Option<Arc<Key>> {
        let keys = self.keys();
        let known = keys.by_hash.get(hash).filter(|known| known.until > now.steady)?;
        Some(Arc::clone(&known.key))
    }

    /// Forgets those of a consumer, which was erased with them.
    pub(crate) fn forget(&self, consumer: ConsumerId) {
        self.keys().by_hash.retain(|_, known| known.key.tenant.consumer != consumer);
    }

    /// Forgets what one request showed: a session that has ended.
    pub(crate) fn forget_shown(&self, hash: &[u8; 32]) {
        self.keys().by_hash.remove(hash);
    }

    /// Remembers the key that a request has shown, or the key of its session: the one that the store has for this hash when asked at `now`.
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
    fn only_the_oldest_gives_way_to_a_key_too_many() {
        let consumer = ConsumerId::generate(Timestamp::UNIX_EPOCH);
        let known = KnownKeys::default();
        let keys: Vec<Key> = (0..=AT_MOST).map(|number| key(consumer, number)).collect();
        for key in &keys {
            known.keep(key.hash, key.clone(), at(0));
        }
        let is_known = |number: usize, ms| known.get(&keys[number].hash, at(ms)).is_some();
        assert!(!is_known(0, 1));
        assert!((1..=AT_MOST).all(|number| is_known(number, 1)));
        // One that is looked up again is young again.
        known.keep(keys[1].hash, keys[1].clone(), at(700));
        assert!(is_known(1, 1_400) && !is_known(2, 1_400));
        known.keep(keys[0].hash, keys[0].clone(), at(1_400));
        assert!(is_known(0, 1_401) && is_known(1, 1_401));
        assert!(known.keys().by_hash.len() <= 2, "those whose time is over are gone");
    }

    #[test]
    fn an_erased_consumers_keys_are_forgotten_and_no_others() {
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
