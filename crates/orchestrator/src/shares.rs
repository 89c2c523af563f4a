//! Divides a fixed number of concurrent uses among keys fairly.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Keys that hold fewer shares than this may also take from the last quarter.
const FEW: usize = 4;

/// Why a share was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShareRefusal {
    /// The key is at its limit, or the remaining shares are reserved for keys that hold few.
    KeyLimit,
    /// All shares are taken.
    Exhausted,
}

/// Whether a key that holds `own` shares may take another, while all keys hold `taken` of `all`.
fn may_take(own: usize, taken: usize, all: usize, each: usize) -> Result<(), ShareRefusal> {
    if own >= each {
        Err(ShareRefusal::KeyLimit)
    } else if taken >= all {
        Err(ShareRefusal::Exhausted)
    } else if own >= FEW && taken >= all - all / 4 {
        Err(ShareRefusal::KeyLimit)
    } else {
        Ok(())
    }
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    of: HashMap<K, usize>,
}

/// A number of shares, and how many of them each key holds.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    all: usize,
    each: usize,
    taken: Mutex<Taken<K>>,
}

impl<K: Eq + Hash + Copy> Shares<K> {
    /// `all` shares, of which one key may hold at most `each`.
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        let taken = Mutex::new(Taken { all: 0, of: HashMap::new() });
        Arc::new(Self { all, each, taken })
    }

    fn taken(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a share for `key`, until the returned value is dropped.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Result<Share<K>, ShareRefusal> {
        let mut taken = self.taken();
        let own = taken.of.get(&key).copied().unwrap_or(0);
        may_take(own, taken.all, self.all, self.each)?;
        taken.all += 1;
        taken.of.insert(key, own + 1);
        Ok(Share { shares: Arc::clone(self), key })
    }
}

/// A share that is taken; returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash + Copy> {
    shares: Arc<Shares<K>>,
    key: K,
}

impl<K: Eq + Hash + Copy> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        taken.all -= 1;
        if let Some(own) = taken.of.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_limit_and_the_last_quarter_is_for_keys_with_few_shares() {
        for (own, taken, expected) in [
            (0, 0, Ok(())),
            (9, 11, Ok(())),
            (10, 11, Err(ShareRefusal::KeyLimit)),
            (9, 12, Err(ShareRefusal::KeyLimit)),
            (4, 12, Err(ShareRefusal::KeyLimit)),
            (3, 12, Ok(())),
            (0, 15, Ok(())),
            (0, 16, Err(ShareRefusal::Exhausted)),
        ] {
            assert_eq!(may_take(own, taken, 16, 10), expected, "{own} of {taken}");
        }
        assert_eq!(may_take(0, 0, 1, usize::MAX), Ok(()), "of one there is no quarter");
        assert_eq!(may_take(0, 1, 1, usize::MAX), Err(ShareRefusal::Exhausted));
    }

    #[test]
    fn a_dropped_share_is_returned_and_keys_without_shares_are_removed() {
        let shares = Shares::new(8, 3);
        let held: Vec<_> = (0..3).map(|_| shares.take("a").unwrap()).collect();
        assert_eq!(shares.take("a").unwrap_err(), ShareRefusal::KeyLimit);
        let other = shares.take("b").unwrap();
        drop(held);
        assert!(shares.take("a").is_ok());
        drop(other);
        let taken = shares.taken();
        assert_eq!((taken.all, taken.of.len()), (0, 0));
    }
}
