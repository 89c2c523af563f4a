//! Notifies tasks that wait for changes of jobs. A notification carries no data: the task reads the store, and a lost notification only delays it until its next poll.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use meetbot_types::JobId;
use tokio::sync::watch;

/// The tasks that wait for jobs, and for bots that join rooms.
#[derive(Debug, Default)]
pub(crate) struct ChangeNotifier {
    jobs: Mutex<HashMap<JobId, watch::Sender<()>>>,
    rooms: watch::Sender<()>,
    feeds: watch::Sender<()>,
}

impl ChangeNotifier {
    /// Waits for bots that join any room.
    pub(crate) fn subscribe_to_rooms(&self) -> watch::Receiver<()> {
        self.rooms.subscribe()
    }

    /// Notifies the tasks that wait for bots in rooms.
    pub(crate) fn notify_rooms(&self) {
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

    /// Notifies the tasks that wait for the job.
    pub(crate) fn notify_job(&self, job: JobId) {
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
        let changes = ChangeNotifier::default();
        let [one, other] = [0, 1].map(|_| JobId::generate(Timestamp::UNIX_EPOCH));
        let (mut first, mut second) = (changes.subscribe(one), changes.subscribe(one));
        let stranger = changes.subscribe(other);
        changes.notify_job(one);
        first.changed().await.unwrap();
        second.changed().await.unwrap();
        assert!(!stranger.has_changed().unwrap());
    }

    #[test]
    fn dropped_subscriptions_are_removed() {
        let changes = ChangeNotifier::default();
        for _ in 0..1000 {
            drop(changes.subscribe(JobId::generate(Timestamp::UNIX_EPOCH)));
        }
        assert!(changes.jobs.lock().unwrap().len() < 100);
    }
}
