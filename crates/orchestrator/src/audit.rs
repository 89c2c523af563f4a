//! The audit log of key use: gathered here, written together, so that a call waits for none of it.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::{KeyId, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{KeyUse, Store},
};

/// How long lines are gathered: what a crash may lose.
const GATHER: Duration = Duration::from_millis(200);
/// How often the last use of each key is written when there is nothing else, and old lines go.
const EVERY: Duration = Duration::from_secs(30);
/// Lines of one write, so that the store is not held for long.
const BATCH: usize = 500;
/// Lines that wait at most while the store cannot be written; later ones are lost, and the log says how many.
const AT_MOST: usize = 10_000;

/// What is not written yet.
#[derive(Debug, Default)]
struct Gathered {
    uses: Vec<KeyUse>,
    last_used: HashMap<KeyId, Timestamp>,
    lost: u64,
}

/// Takes what keys are used for.
#[derive(Debug)]
pub(crate) struct Audit {
    /// How long lines are kept; zero where none is written.
    keep: Duration,
    gathered: Mutex<Gathered>,
    some: Notify,
}

impl Audit {
    /// A log whose lines are kept for so long; with zero there is none, and only when each key was used last is noted.
    pub(crate) fn new(keep: Duration) -> Self {
        Self { keep, gathered: Mutex::default(), some: Notify::new() }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key was shown.
    pub(crate) fn shown(&self, key: KeyId, at: Timestamp) {
        self.gathered().last_used.insert(key, at);
    }

    /// A key was used for something that is told.
    pub(crate) fn note(&self, used: KeyUse) {
        if self.keep.is_zero() {
            return;
        }
        let mut gathered = self.gathered();
        if gathered.uses.len() < AT_MOST {
            gathered.uses.push(used);
        } else {
            gathered.lost += 1;
        }
        drop(gathered);
        self.some.notify_one();
    }

    /// Writes what is gathered until `stop`, and what is left then.
    pub(crate) async fn run(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        clock: Clock,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
                () = self.some.notified() => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(GATHER) => {}
                    }
                }
            }
            self.write(store.as_ref(), clock.now().wall - self.keep).await;
        }
        self.write(store.as_ref(), clock.now().wall - self.keep).await;
    }

    async fn write(&self, store: &dyn Store, keep_from: Timestamp) {
        let Gathered { mut uses, last_used, lost } = mem::take(&mut *self.gathered());
        if lost > 0 {
            tracing::error!(lost, "the audit log has holes: the store could not be written");
        }
        let mut last_used = Some(last_used.into_iter().collect::<Vec<_>>());
        loop {
            let rest = uses.split_off(uses.len().min(BATCH));
            let batch = mem::replace(&mut uses, rest);
            let touched = last_used.take().unwrap_or_default();
            if store.note_uses(batch.clone(), touched.clone(), keep_from).await.is_err() {
                // The store's own log says why. They wait for the next time, before those that came since.
                let mut gathered = self.gathered();
                let since = mem::replace(&mut gathered.uses, batch);
                gathered.uses.extend(uses.into_iter().chain(since));
                for (key, at) in touched {
                    gathered.last_used.entry(key).or_insert(at);
                }
                return;
            }
            if uses.is_empty() {
                return;
            }
        }
    }
}
