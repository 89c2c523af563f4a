//! What workers report of themselves, in memory: each heartbeat replaces the one before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::work::{BEAT_SECONDS, Pool, WorkerStatus};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// The time between two heartbeats.
const BEAT: Duration = Duration::from_secs(BEAT_SECONDS);
/// How long a report counts: three heartbeats.
const VALID_FOR: Duration = Duration::from_secs(3 * BEAT_SECONDS);

/// The last reports of the workers that this server hears.
#[derive(Debug, Default)]
pub(crate) struct Statuses(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// By the worker's id.
    reports: HashMap<String, Report>,
    /// How many workers were lost.
    lost: u64,
    /// When it was last looked for lost ones, on the steady clock.
    looked: Duration,
}

#[derive(Debug)]
struct Report {
    /// On the steady clock.
    heard: Duration,
    status: WorkerStatus,
    /// The worker stops, so its silence is expected.
    draining: bool,
}

impl Report {
    fn is_valid(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) < VALID_FOR
    }
}

/// All workers together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WorkersSummary {
    /// How many workers were heard lately.
    pub(crate) workers: u64,
    /// How many were heard and then no more, though they did not stop, since the server started.
    pub(crate) lost: u64,
    /// How many bots they may run.
    pub(crate) places: u64,
    /// How many bots they run, by their pool.
    pub(crate) bots: BTreeMap<Pool, u64>,
    /// The longest time for which recorded media of one of them has waited to be uploaded.
    pub(crate) unshipped: Duration,
    /// How many have bots that read their media too late.
    pub(crate) behind: u64,
    /// How many have no room on their disks.
    pub(crate) disks_low: u64,
    /// How many failed to upload to the bucket.
    pub(crate) uploads_failing: u64,
}

impl Statuses {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker reports. A problem with its disk or its uploads is logged when it begins and when it ends.
    pub(crate) fn hear(&self, worker: &str, status: WorkerStatus, draining: bool, now: Duration) {
        let mut heard = self.heard();
        let before = heard.reports.get(worker).map(|report| &report.status);
        match (before.and_then(|before| before.storage_problem.as_ref()), &status.storage_problem) {
            (None, Some(problem)) => {
                tracing::error!(worker, problem, "a worker's uploads do not reach the bucket");
            }
            (Some(_), None) => tracing::info!(worker, "a worker's uploads reach the bucket again"),
            _ => {}
        }
        if status.disk_low && !before.is_some_and(|before| before.disk_low) {
            tracing::error!(
                worker,
                free_bytes = status.free_bytes,
                "a worker has no room on its disk, and gets no jobs"
            );
        }
        match (before.is_some_and(|before| before.behind), status.behind) {
            (false, true) => {
                tracing::warn!(
                    worker,
                    "a worker's bots read their media too late: it gets no jobs until they have caught up"
                );
            }
            (true, false) => tracing::info!(worker, "a worker's bots have caught up"),
            _ => {}
        }
        heard.reports.insert(worker.to_owned(), Report { heard: now, status, draining });
    }

    /// A worker stops.
    pub(crate) fn drains(&self, worker: &str) {
        if let Some(report) = self.heard().reports.get_mut(worker) {
            report.draining = true;
        }
    }

    /// Forgets the workers that are silent, and returns those of them that did not stop. If this server itself was suspended, workers first get the time to report again.
    fn forget_silent(&self, now: Duration) -> Vec<String> {
        let mut heard = self.heard();
        let was_suspended = now.saturating_sub(heard.looked) > 2 * BEAT;
        heard.looked = now;
        if was_suspended {
            return Vec::new();
        }
        let silent = heard.reports.extract_if(|_, report| !report.is_valid(now));
        let lost: Vec<_> =
            silent.filter(|(_, report)| !report.draining).map(|(worker, _)| worker).collect();
        heard.lost += lost.len() as u64;
        lost
    }

    /// Whether a worker reported that its disk has no room, or that its bots read their media too late.
    pub(crate) fn takes_no_jobs(&self, worker: &str, now: Duration) -> bool {
        let heard = self.heard();
        let report = heard.reports.get(worker).filter(|it| it.is_valid(now));
        report.is_some_and(|it| it.status.disk_low || it.status.behind)
    }

    /// All workers that were heard lately.
    pub(crate) fn summary(&self, now: Duration) -> WorkersSummary {
        let heard = self.heard();
        let mut summary = WorkersSummary { lost: heard.lost, ..WorkersSummary::default() };
        for Report { status, .. } in heard.reports.values().filter(|it| it.is_valid(now)) {
            summary.workers += 1;
            summary.places = summary.places.saturating_add(status.places);
            for (pool, bots) in &status.bots {
                let sum = summary.bots.entry(*pool).or_default();
                *sum = sum.saturating_add(*bots);
            }
            summary.unshipped = summary.unshipped.max(Duration::from_millis(status.unshipped_ms));
            summary.behind += u64::from(status.behind);
            summary.disks_low += u64::from(status.disk_low);
            summary.uploads_failing += u64::from(status.storage_problem.is_some());
        }
        summary
    }
}

/// Logs the workers that are lost, until `stop`.
pub(crate) async fn watch(statuses: Arc<Statuses>, clock: Clock, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for worker in statuses.forget_silent(clock.now().steady) {
            tracing::warn!(
                worker,
                "a worker was not heard for {} s: it has died, or reports to another server",
                VALID_FOR.as_secs()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn status(bots: u64, unshipped_ms: u64, disk_low: bool, problem: Option<&str>) -> WorkerStatus {
        WorkerStatus {
            places: 10,
            bots: [(Pool::Native, bots), (Pool::Browser, 1)].into(),
            unshipped_ms,
            free_bytes: Some(5),
            disk_low,
            behind: false,
            storage_problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn only_workers_that_were_heard_lately_are_counted() {
        let statuses = Statuses::default();
        let hear = |worker, status, seconds| statuses.hear(worker, status, false, seconds * SECOND);
        hear("gone", status(9, 90_000, true, Some("away")), 1);
        hear("low", status(3, 1_000, true, None), 10);
        hear("failing", status(4, 7_000, false, None), 10);
        hear("failing", status(5, 12_000, false, Some("away")), 15);
        let low = |worker, seconds| statuses.takes_no_jobs(worker, seconds * SECOND);
        assert!(low("gone", 15) && low("low", 15));
        hear("late", WorkerStatus { behind: true, ..status(0, 0, false, None) }, 12);
        assert!(low("late", 26) && !low("late", 27));
        let expected = WorkersSummary {
            workers: 3,
            lost: 0,
            places: 30,
            bots: [(Pool::Native, 8), (Pool::Browser, 3)].into(),
            unshipped: 12 * SECOND,
            behind: 1,
            disks_low: 1,
            uploads_failing: 1,
        };
        assert_eq!(statuses.summary(16 * SECOND), expected);
        assert!(!low("gone", 16), "a report of long ago does not count");
        assert!(!low("failing", 16) && !low("unknown", 16));
    }

    #[test]
    fn a_worker_is_lost_if_it_is_silent_and_did_not_stop() {
        let statuses = Statuses::default();
        let hear = |worker, draining, seconds| {
            statuses.hear(worker, status(1, 0, false, None), draining, seconds * SECOND);
        };
        let look = |seconds| statuses.forget_silent(seconds * SECOND);
        hear("killed", false, 1);
        hear("stops", true, 1);
        hear("full", false, 1);
        // A worker without a report so far.
        statuses.drains("new");
        statuses.drains("full");
        assert_eq!(look(5), [""; 0]);
        assert_eq!(look(10), [""; 0]);
        hear("lives", false, 10);
        assert_eq!(look(15), [""; 0]);
        assert_eq!(look(20), ["killed"]);
        assert_eq!(look(22), [""; 0], "it is reported once");
        // The server was suspended meanwhile.
        assert_eq!(look(60), [""; 0]);
        hear("lives", false, 61);
        assert_eq!(look(65), [""; 0]);
        let summary = statuses.summary(65 * SECOND);
        assert_eq!((summary.workers, summary.lost), (1, 1));
    }
}
