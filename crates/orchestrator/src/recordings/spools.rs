//! When the server heard of the workers that have recordings on their own disks.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use meetbot_types::Timestamp;

/// The times of their last calls, by the names of their data folders.
#[derive(Debug, Default)]
pub(crate) struct Spools(Mutex<HashMap<String, Spool>>);

#[derive(Debug)]
struct Spool {
    heard: Timestamp,
    /// When the store was last to note it.
    noted: Timestamp,
}

impl Spools {
    /// A worker calls. Answers whether the store is to note it for the other servers, as it does once in this time.
    pub(crate) fn hear(&self, spool: &str, now: Timestamp, noted_every: Duration) -> bool {
        let mut spools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = spools.get(spool).map(|spool| spool.noted);
        let is_due = noted.is_none_or(|noted| noted + noted_every <= now);
        let noted = if is_due { now } else { noted.unwrap_or(now) };
        spools.insert(spool.to_owned(), Spool { heard: now, noted });
        is_due
    }

    /// When it called last; `None` if it has not called this server.
    pub(crate) fn heard(&self, spool: &str) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(spool).map(|spool| spool.heard)
    }

    /// The names with this beginning under which one called this server after this time.
    pub(crate) fn heard_after(&self, beginning: &str, after: Timestamp) -> Vec<String> {
        let spools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = spools.iter();
        let found = found.filter(|(name, it)| name.starts_with(beginning) && it.heard > after);
        found.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_counts_and_one_a_minute_is_noted_in_the_store() {
        let (spools, at) = (Spools::default(), Timestamp::from_millis);
        let hear = |spool, ms| spools.hear(spool, at(ms), Duration::from_mins(1));
        let noted = [0, 59_999, 60_000, 60_001].map(|ms| hear("one", ms));
        assert_eq!(noted, [true, false, true, false]);
        assert!(hear("other", 60_001));
        assert_eq!(spools.heard("one"), Some(at(60_001)));
        assert_eq!(spools.heard("none"), None);
    }

    #[test]
    fn those_with_a_beginning_that_called_after_a_time_are_found() {
        let (spools, at) = (Spools::default(), Timestamp::from_millis);
        for (name, ms) in [("mixes/", 1), ("mixes/eu", 2), ("mixes", 3), ("one", 3)] {
            spools.hear(name, at(ms), Duration::from_mins(1));
        }
        let found = |after| {
            let mut found = spools.heard_after("mixes/", at(after));
            found.sort();
            found
        };
        assert_eq!(found(0), ["mixes/", "mixes/eu"]);
        assert_eq!(found(1), ["mixes/eu"]);
        assert_eq!(found(2), [""; 0]);
        // Each later call counts, also one that the store does not note.
        assert!(!spools.hear("mixes/", at(9), Duration::from_mins(1)));
        assert_eq!(found(2), ["mixes/"]);
    }
}
