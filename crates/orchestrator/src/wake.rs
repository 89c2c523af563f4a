//! Wakes tasks that wait for a job. A wake-up carries no data: the task reads the store, and a lost wake-up only delays it until its next poll.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use meetbot_types::JobId;
use tokio::sync::watch;

/// The tasks that wait for jobs, and for bots that join rooms.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    jobs: Mutex<HashMap<JobId, watch::Sender<()>>>,
    rooms: watch::Sender<()>,
    feeds: watch::Sender<()>,
}

impl Wakes {
    /// Waits for bots that join any room.
    pub(crate) fn subscribe_to_rooms(&self) -> watch::Receiver<()> {
        self.rooms.subscribe()
    }

    /// Wakes the tasks that wait for bots in rooms.
    pub(crate) fn poke_rooms(&self) {
        self.rooms.send_replace(());
    }

    /// Subscribes to a job: later wake-ups are not missed.
    pub(crate) fn subscribe(&self, job: JobId) -> watch::Receiver<()> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // Jobs without waiting tasks are removed when the map would have to grow.
        if jobs.len() == jobs.capacity() {
            jobs.retain(|_, sender| !sender.is_closed());
        }
        jobs.entry(job).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Subscribes to all jobs of all tenants.
    pub(crate) fn subscribe_to_feeds(&self) -> watch::Receiver<()> {
        self.feeds.subscribe()
    }

    /// Wakes the tasks that wait for the job.
    pub(crate) fn poke(&self, job: JobId) {
        self.feeds.send_replace(());
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.get(&job).is_some_and(|sender| sender.send(()).is_err()) {
            jobs.remove(&job);
        }
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_wake_up_reaches_only_tasks_that_wait_for_the_job() {
        let wakes = Wakes::default();
        let [one, other] = [0, 1].map(|_| JobId::generate(Timestamp::UNIX_EPOCH));
        let (mut first, mut second) = (wakes.subscribe(one), wakes.subscribe(one));
        let stranger = wakes.subscribe(other);
        wakes.poke(one);
        first.changed().await.unwrap();
        second.changed().await.unwrap();
        assert!(!stranger.has_changed().unwrap());
    }

    #[test]
    fn dropped_subscriptions_are_removed() {
        let wakes = Wakes::default();
        for _ in 0..1000 {
            drop(wakes.subscribe(JobId::generate(Timestamp::UNIX_EPOCH)));
        }
        assert!(wakes.jobs.lock().unwrap().len() < 100);
    }
}
