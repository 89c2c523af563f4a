//! Puts jobs with expired leases back into the queue, and fails those that were not claimed in time.

use std::{sync::Arc, time::Duration};

use meetbot_types::JobId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    change_notifier::ChangeNotifier,
    metrics::Metrics,
    store::{Awaited, Expired, Result, Store},
    store_outage::StoreOutage,
};

const EVERY: Duration = Duration::from_secs(1);
/// How often the store is swept, and shown to be writable.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The loop that handles expired leases.
pub(crate) struct Reaper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_outage: Arc<StoreOutage>,
    pub(crate) changes: Arc<ChangeNotifier>,
    pub(crate) metrics: Arc<Metrics>,
    /// Wakes the dispatch.
    pub(crate) queue: Arc<Notify>,
    /// Wakes the webhook sender.
    pub(crate) outbox: Arc<Notify>,
}

impl Reaper {
    /// Runs until `stop`. After a store outage, no bot is given up for the length of a lease, so that each can report again.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut swept = None;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = self.store.now();
            if swept.is_none_or(|at| now.lease.since(at) >= SWEEP_EVERY) {
                swept = Some(now.lease);
                if let Err(error) = self.observed(self.store.sweep(now).await) {
                    tracing::error!(%error, "the store cannot be written");
                    swept = None;
                    continue;
                }
            }
            if let Ok(expired) = self.observed(self.store.expire(now).await) {
                self.notify_expired(&expired);
            }
            let last_outage = self.store_outage.last();
            if last_outage.is_some_and(|outage| now.lease.since(outage) < now.timing.lease()) {
                continue;
            }
            if let Ok(lost) = self.observed(self.store.reap(now).await) {
                self.notify_lost(&lost);
            }
        }
    }

    fn observed<T>(&self, answered: Result<T>) -> Result<T> {
        self.store_outage.observe(answered, self.store.now().lease)
    }

    fn notify_expired(&self, expired: &[Expired]) {
        if expired.is_empty() {
            return;
        }
        tracing::warn!(jobs = expired.len(), "no bot was started in time");
        for Expired { job, awaited } in expired {
            if *awaited == Some(Awaited::Slot) {
                self.metrics.refused("bots_per_consumer");
            }
            self.changes.notify_job(*job);
        }
        self.outbox.notify_one();
    }

    fn notify_lost(&self, lost: &[JobId]) {
        for job in lost {
            tracing::warn!(%job, "a bot's lease ran out");
            self.metrics.attempts.silent(*job);
            self.changes.notify_job(*job);
        }
        if !lost.is_empty() {
            self.queue.notify_one();
            self.outbox.notify_one();
        }
    }
}
