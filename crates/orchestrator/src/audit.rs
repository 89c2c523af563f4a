//! The audit log of key use: entries are collected in memory and written in batches, so that no call waits for them.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::{ErrorCode, JobId, KeyId, Timestamp, UseId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{KeyUse, Store},
};

/// How long entries are collected before they are written; a crash may lose those.
const COLLECT: Duration = Duration::from_millis(200);
/// How often the last use of each key is written, and old entries are deleted, when there is nothing else to write.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);
/// The most entries of one write, so that the store is not locked for long.
const BATCH: usize = 500;
/// The most entries that are kept while the store cannot be written. Later ones are lost, and the log has their number.
const MOST_PENDING: usize = 10_000;
/// The status in the audit log if the caller disconnected before the response. The request may have been carried out.
pub(crate) const CALLER_GONE: u16 = 499;

/// The key by which calls of a minute are grouped into one entry. Refusals are grouped by key and reason alone, whatever the path: otherwise a revoked key
/// could fill the disk.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Group {
    Refused(KeyId, u16, Option<ErrorCode>),
    Changed(KeyId, u16, String, String, Option<JobId>),
}

impl Group {
    fn of(used: &KeyUse) -> Self {
        if used.status >= 400 && used.status != CALLER_GONE {
            Self::Refused(used.key, used.status, used.error.clone())
        } else {
            let (method, path) = (used.method.clone(), used.path.clone());
            Self::Changed(used.key, used.status, method, path, used.job)
        }
    }
}

/// The entries that are not written yet, and the groups of the current minute.
#[derive(Debug, Default)]
struct Pending {
    uses: Vec<KeyUse>,
    /// How many further calls each entry stands for.
    repeats: HashMap<UseId, u64>,
    last_used: HashMap<KeyId, Timestamp>,
    lost: u64,
    /// The current minute, counted since 1970.
    minute: i64,
    /// The entries of the current minute, written or not.
    lines: HashMap<Group, UseId>,
}

impl Pending {
    /// Adds a use. Returns whether there is a new entry to write soon; counts can wait.
    fn add(&mut self, used: KeyUse) -> bool {
        let (minute, group) = (used.at.as_millis().div_euclid(60_000), Group::of(&used));
        if minute != self.minute || self.lines.len() >= MOST_PENDING {
            self.lines.clear();
            self.minute = minute;
        }
        if let Some(line) = self.lines.get(&group) {
            *self.repeats.entry(*line).or_default() += 1;
            return false;
        }
        if self.uses.len() >= MOST_PENDING {
            self.lost += 1;
            return false;
        }
        self.lines.insert(group, used.id);
        self.uses.push(used);
        true
    }
}

/// Records the use of keys.
#[derive(Debug)]
pub(crate) struct Audit {
    /// How long entries are kept; zero disables the log.
    keep: Duration,
    pending: Mutex<Pending>,
    some: Notify,
}

impl Audit {
    /// A log whose entries are kept for `keep`. With zero no entries are written, only the time of each key's last use.
    pub(crate) fn new(keep: Duration) -> Self {
        Self { keep, pending: Mutex::default(), some: Notify::new() }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a key was used at `at`.
    pub(crate) fn key_used(&self, key: KeyId, at: Timestamp) {
        self.pending().last_used.insert(key, at);
    }

    /// Adds an entry to the log.
    pub(crate) fn record(&self, used: KeyUse) {
        if self.keep.is_zero() {
            return;
        }
        if self.pending().add(used) {
            self.some.notify_one();
        }
    }

    /// Writes the collected entries until `stop`, and then the rest.
    pub(crate) async fn run(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        clock: Clock,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(IDLE_INTERVAL) => {}
                () = self.some.notified() => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(COLLECT) => {}
                    }
                }
            }
            self.write(store.as_ref(), clock.now().wall - self.keep).await;
        }
        self.write(store.as_ref(), clock.now().wall - self.keep).await;
    }

    async fn write(&self, store: &dyn Store, keep_from: Timestamp) {
        let (mut uses, repeats, last_used, lost) = {
            let mut pending = self.pending();
            let Pending { uses, repeats, last_used, lost, .. } = &mut *pending;
            (mem::take(uses), mem::take(repeats), mem::take(last_used), mem::take(lost))
        };
        if lost > 0 {
            tracing::error!(
                lost,
                "entries of the audit log were lost: the store could not be written"
            );
        }
        let mut rest: (Vec<_>, Vec<_>) =
            (repeats.into_iter().collect(), last_used.into_iter().collect());
        loop {
            let later = uses.split_off(uses.len().min(BATCH));
            let batch = mem::replace(&mut uses, later);
            // Counts are written with the last batch, after the entries that they belong to.
            let (repeats, touched) =
                if uses.is_empty() { mem::take(&mut rest) } else { Default::default() };
            let noted = store.note_uses(batch.clone(), repeats.clone(), touched.clone(), keep_from);
            if noted.await.is_err() {
                // The store logs the error. The entries are put back before newer ones, and written next time.
                let (repeats, touched) = if uses.is_empty() { (repeats, touched) } else { rest };
                let mut pending = self.pending();
                let since = mem::replace(&mut pending.uses, batch);
                pending.uses.extend(uses.into_iter().chain(since));
                for (line, times) in repeats {
                    *pending.repeats.entry(line).or_default() += times;
                }
                for (key, at) in touched {
                    pending.last_used.entry(key).or_insert(at);
                }
                return;
            }
            if uses.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetbot_types::ConsumerId;

    fn used(key: KeyId, ms: i64, method: &str, path: &str, status: u16) -> KeyUse {
        let at = Timestamp::from_millis(ms);
        KeyUse {
            id: UseId::generate(at),
            at,
            key,
            consumer: ConsumerId::generate(Timestamp::UNIX_EPOCH),
            address: [127, 0, 0, 1].into(),
            method: method.to_owned(),
            path: path.to_owned(),
            job: None,
            status,
            error: (status == 401).then_some(ErrorCode::Unauthorized),
            request: "req_1".to_owned(),
            times: 1,
        }
    }

    #[test]
    fn equal_calls_of_a_minute_are_one_entry_with_a_count() {
        let [one, other] = [0, 1].map(|_| KeyId::generate(Timestamp::UNIX_EPOCH));
        let mut pending = Pending::default();
        for (key, ms, method, path, status, is_new) in [
            (one, 60_000, "GET", "/a", 401, true),
            // Other methods and paths, but the same reason of refusal.
            (one, 60_001, "POST", "/b", 401, false),
            (one, 119_999, "GET", "/c", 401, false),
            (one, 60_002, "GET", "/a", 403, true),
            (other, 60_003, "GET", "/a", 401, true),
            // Changes are grouped by their path, too.
            (one, 60_004, "DELETE", "/a", 204, true),
            (one, 60_005, "DELETE", "/a", 204, false),
            (one, 60_006, "DELETE", "/b", 204, true),
            (one, 60_007, "DELETE", "/b", CALLER_GONE, true),
            (one, 60_008, "DELETE", "/a", CALLER_GONE, true),
            (one, 120_000, "GET", "/a", 401, true),
        ] {
            let what = format!("{method} {path} {status} at {ms}");
            assert_eq!(pending.add(used(key, ms, method, path, status)), is_new, "{what}");
        }
        assert_eq!(pending.uses.len(), 8);
        let times = |line: usize| pending.repeats.get(&pending.uses[line].id).copied();
        assert_eq!((times(0), times(3)), (Some(2), Some(1)));
        assert_eq!((pending.repeats.len(), pending.lost), (2, 0));
    }

    #[test]
    fn entries_are_bounded_while_the_store_cannot_be_written() {
        let key = KeyId::generate(Timestamp::UNIX_EPOCH);
        let mut pending = Pending::default();
        for number in 0..3 * MOST_PENDING {
            pending.add(used(key, 0, "DELETE", &format!("/{number}"), 204));
        }
        assert_eq!((pending.uses.len(), pending.lost), (MOST_PENDING, 2 * MOST_PENDING as u64));
        assert!(pending.lines.len() <= MOST_PENDING && pending.repeats.is_empty());
    }
}
