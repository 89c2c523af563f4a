//! Notifies tasks that wait for changes of jobs, here and on the other servers of the store. A notification carries no data: the task reads the store, and a lost
//! notification only delays it until its next poll.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use meetbot_types::JobId;
use tokio::sync::{Notify, watch};

/// The tasks that wait for jobs, and for bots that join rooms.
#[derive(Debug, Default)]
pub(crate) struct ChangeNotifier {
    jobs: Mutex<HashMap<JobId, watch::Sender<()>>>,
    rooms: watch::Sender<()>,
    feeds: watch::Sender<()>,
    /// What the other servers are to be notified of. `None`: this store has one server.
    outgoing: Option<Outgoing>,
}

#[derive(Debug, Default)]
struct Outgoing {
    changed: Mutex<Changed>,
    some: Notify,
}

/// What has changed here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) jobs: BTreeSet<JobId>,
    /// Bots have joined rooms.
    pub(crate) rooms: bool,
}

impl ChangeNotifier {
    /// One of a server that may have others beside it. Somebody has to take what they are to be notified of by [`Self::changed`].
    pub(crate) fn of_several_servers() -> Self {
        Self { outgoing: Some(Outgoing::default()), ..Self::default() }
    }

    /// Waits for bots that join any room.
    pub(crate) fn subscribe_to_rooms(&self) -> watch::Receiver<()> {
        self.rooms.subscribe()
    }

    /// Notifies the tasks that wait for bots in rooms.
    pub(crate) fn notify_rooms(&self) {
        self.notify_rooms_here();
        self.note(|changed| changed.rooms = true);
    }

    /// The same, of this server alone.
    pub(crate) fn notify_rooms_here(&self) {
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
        self.notify_job_here(job);
        self.note(|changed| {
            changed.jobs.insert(job);
        });
    }

    /// The same, of this server alone.
    pub(crate) fn notify_job_here(&self, job: JobId) {
        self.notify_feeds_here();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.get(&job).is_some_and(|sender| sender.send(()).is_err()) {
            jobs.remove(&job);
        }
    }

    /// Notifies the tasks of this server that wait for any job of a tenant.
    pub(crate) fn notify_feeds_here(&self) {
        self.feeds.send_replace(());
    }

    /// Notifies all tasks of this server.
    pub(crate) fn notify_all_here(&self) {
        for job in self.watched() {
            self.notify_job_here(job);
        }
        self.notify_feeds_here();
        self.notify_rooms_here();
    }

    /// The jobs that tasks of this server wait for.
    pub(crate) fn watched(&self) -> Vec<JobId> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().filter(|(_, sender)| !sender.is_closed()).map(|(job, _)| *job).collect()
    }

    fn note(&self, change: impl FnOnce(&mut Changed)) {
        if let Some(Outgoing { changed, some }) = &self.outgoing {
            change(&mut changed.lock().unwrap_or_else(PoisonError::into_inner));
            some.notify_one();
        }
    }

    /// Waits until there is something that the other servers are to be notified of.
    pub(crate) async fn has_changed(&self) {
        match &self.outgoing {
            Some(outgoing) => outgoing.some.notified().await,
            None => std::future::pending().await,
        }
    }

    /// What the other servers are to be notified of since the last call.
    pub(crate) fn changed(&self) -> Changed {
        self.outgoing.as_ref().map_or_else(Changed::default, |outgoing| {
            std::mem::take(&mut outgoing.changed.lock().unwrap_or_else(PoisonError::into_inner))
        })
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
        assert!(changes.watched().is_empty());
    }

    #[tokio::test]
    async fn only_changes_of_this_server_go_to_the_others() {
        let changes = ChangeNotifier::of_several_servers();
        let [one, other] = [0, 1].map(|_| JobId::generate(Timestamp::UNIX_EPOCH));
        let mut woken = changes.subscribe(other);
        changes.notify_job(one);
        changes.notify_job(one);
        changes.notify_job_here(other);
        woken.changed().await.unwrap();
        changes.has_changed().await;
        assert_eq!(changes.changed(), Changed { jobs: BTreeSet::from([one]), rooms: false });
        changes.notify_rooms();
        assert_eq!(changes.changed(), Changed { jobs: BTreeSet::new(), rooms: true });
        assert_eq!(changes.watched(), [other]);
    }
}
