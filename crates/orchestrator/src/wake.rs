//! Wakes those who wait for a job: pokes, never truth. Whoever is woken looks into the store; a lost poke costs one poll.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use meetbot_types::JobId;
use tokio::sync::watch;

/// Who waits for which job, and who for bots in rooms.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    jobs: Mutex<HashMap<JobId, watch::Sender<()>>>,
    rooms: watch::Sender<()>,
    feeds: watch::Sender<()>,
}

impl Wakes {
    /// Waits for bots that join a room, whichever.
    pub(crate) fn subscribe_to_rooms(&self) -> watch::Receiver<()> {
        self.rooms.subscribe()
    }

    /// A bot joins a room.
    pub(crate) fn poke_rooms(&self) {
        self.rooms.send_replace(());
    }

    /// Waits for the job from now on: pokes from here on are not missed.
    pub(crate) fn subscribe(&self, job: JobId) -> watch::Receiver<()> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits for any more go when their number would grow.
        if jobs.len() == jobs.capacity() {
            jobs.retain(|_, sender| !sender.is_closed());
        }
        jobs.entry(job).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Waits for whatever happens to any job, whosever it is.
    pub(crate) fn subscribe_to_feeds(&self) -> watch::Receiver<()> {
        self.feeds.subscribe()
    }

    /// Something happened to the job.
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
    async fn a_poke_reaches_all_who_wait_for_the_job_and_nobody_else() {
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
    fn those_who_left_leave_nothing_behind() {
        let wakes = Wakes::default();
        for _ in 0..1000 {
            drop(wakes.subscribe(JobId::generate(Timestamp::UNIX_EPOCH)));
        }
        assert!(wakes.jobs.lock().unwrap().len() < 100);
    }
}
