//! What the workers in other processes report to the server.

use std::sync::atomic::{AtomicU64, Ordering};

use meetbot_types::work::Pool;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::worker_statuses::WorkersSummary;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PoolLabel {
    pool: &'static str,
}

impl From<Pool> for PoolLabel {
    fn from(pool: Pool) -> Self {
        Self { pool: pool.as_str() }
    }
}

/// A value of any size, as a gauge takes it.
pub(super) fn gauged(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The sums over all workers that this server heard lately.
pub(crate) struct Workers {
    heard: Gauge,
    lost: Counter,
    places: Gauge,
    bots: Family<PoolLabel, Gauge>,
    unshipped: Gauge<f64, AtomicU64>,
    behind: Gauge,
    disks_low: Gauge,
    uploads_failing: Gauge,
    wanted: Family<PoolLabel, Gauge>,
}

impl Workers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let heard = Gauge::default();
        let help = "Workers in other processes that this server heard in the last 15 s";
        registry.register("workers", help, heard.clone());
        let lost = Counter::default();
        registry.register(
            "workers_lost",
            "Workers that this server heard, and then no more, though they did not stop: they died, or they report to another server",
            lost.clone(),
        );
        let places = Gauge::default();
        registry.register("workers_places", "How many bots they may run", places.clone());
        let bots = Family::<PoolLabel, Gauge>::default();
        for pool in Pool::ALL {
            drop(bots.get_or_create(&pool.into()));
        }
        registry.register("workers_bots", "Bots that they run", bots.clone());
        let unshipped = Gauge::default();
        registry.register_with_unit(
            "workers_unshipped",
            "For how long recorded media of one of them has waited for the bucket at most",
            Unit::Seconds,
            unshipped.clone(),
        );
        let behind = Gauge::default();
        registry.register(
            "workers_behind",
            "How many get no jobs, because their bots read their media too late",
            behind.clone(),
        );
        let disks_low = Gauge::default();
        registry.register(
            "workers_disks_low",
            "How many get no jobs, because their disks have no room for an hour of their bots",
            disks_low.clone(),
        );
        let uploads_failing = Gauge::default();
        registry.register(
            "workers_uploads_failing",
            "How many failed to upload to the bucket when they last tried",
            uploads_failing.clone(),
        );
        let wanted = Family::<PoolLabel, Gauge>::default();
        for pool in Pool::ALL {
            drop(wanted.get_or_create(&pool.into()));
        }
        registry.register(
            "places_wanted",
            "Bots that would run if no job had to wait for a worker: those of jobs that have had one, and of jobs that may start now or within 2 minutes",
            wanted.clone(),
        );
        Self { heard, lost, places, bots, unshipped, behind, disks_low, uploads_failing, wanted }
    }

    /// Shows how many bots of each pool there should be.
    pub(crate) fn set_wanted(&self, wanted: &[(Pool, u64)]) {
        for (pool, bots) in wanted {
            self.wanted.get_or_create(&(*pool).into()).set(gauged(*bots));
        }
    }

    /// Shows what they reported.
    pub(crate) fn set(&self, summary: &WorkersSummary) {
        self.heard.set(gauged(summary.workers));
        self.lost.inner().store(summary.lost, Ordering::Relaxed);
        self.places.set(gauged(summary.places));
        for pool in Pool::ALL {
            let bots = summary.bots.get(&pool).copied().unwrap_or(0);
            self.bots.get_or_create(&pool.into()).set(gauged(bots));
        }
        self.unshipped.set(summary.unshipped.as_secs_f64());
        self.behind.set(gauged(summary.behind));
        self.disks_low.set(gauged(summary.disks_low));
        self.uploads_failing.set(gauged(summary.uploads_failing));
    }
}
