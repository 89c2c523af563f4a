//! Makes the mixes of recordings after their jobs have ended, a few at a time, and reports them.

mod leases;
mod making;

use std::{io, sync::Arc, time::Duration};

use meetbot_types::{JobId, Timestamp, manifest::File};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    change_notifier::ChangeNotifier,
    clock::Clock,
    dispatch::Launcher,
    jobs::derive,
    recordings::{Finished, Recordings},
    running_tasks::RunningTask,
    store::{Spooled, Store, StoreError},
};

pub(crate) use self::leases::EndError;
pub use self::making::make_on_worker;

/// The longest time between two reads of the store, and the pause after a failed one.
const POLL: Duration = Duration::from_secs(5);

/// Makes mixes.
#[derive(Clone)]
pub(crate) struct Mixes {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) clock: Clock,
    pub(crate) recordings: Recordings,
    /// How many run concurrently; 0: waiting mixes are cancelled.
    pub(crate) at_once: usize,
    /// Workers on other machines may have the recordings, and make mixes of those that are not on this server's disk.
    pub(crate) has_far_workers: bool,
    /// Notified when a job has ended.
    pub(crate) wake: Arc<Notify>,
    /// Wakes the webhook sender.
    pub(crate) outbox: Arc<Notify>,
    pub(crate) changes: Arc<ChangeNotifier>,
}

impl Mixes {
    /// Runs until `stop`. Running mixes are then stopped, and are made by the next server.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut making = JoinSet::new();
        while !stop.is_cancelled() {
            let next = match self.begin(&mut making, &stop).await {
                Ok(next) => next.map(|next| next.millis_since(self.clock.now().wall)),
                Err(error) => {
                    tracing::warn!(%error, "waiting mixes cannot be read from the store");
                    None
                }
            };
            let ahead = next.and_then(|ms| u64::try_from(ms).ok());
            let sleep = ahead.map_or(POLL, |ms| Duration::from_millis(ms).min(POLL));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                Some(ended) = making.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a mix crashed");
                    }
                }
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while making.join_next().await.is_some() {}
    }

    /// Starts as many mixes as may run. Returns when the next one is due.
    async fn begin(
        &self,
        making: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Option<Timestamp>, StoreError> {
        // Two servers would make the same mix.
        if !self.store.has_duties() {
            return Ok(None);
        }
        let (running_tasks, at_once) = (self.recordings.mixes.jobs(), self.at_once.max(1));
        if running_tasks.len() >= at_once {
            return Ok(None);
        }
        let enough = u32::try_from(at_once).unwrap_or(u32::MAX);
        let now = self.store.now();
        let waiting = self.store.waiting_mixes(enough, now).await?;
        let mut due = waiting.due;
        if self.has_far_workers {
            due = self.for_server(due, now).await?;
        }
        let due = due.into_iter().map(|mix| mix.job).collect();
        for job in derive::begin(due, &running_tasks, at_once) {
            let task = self.recordings.mixes.begin(job, stop.child_token());
            let mixes = self.clone();
            making.spawn(async move {
                if let Err(error) = mixes.make(&task).await {
                    tracing::warn!(%job, %error, "the result of a mix cannot be stored now");
                    // It stays registered meanwhile, so that it is not started again at once.
                    tokio::select! {
                        () = task.stop().cancelled() => {}
                        () = tokio::time::sleep(POLL) => {}
                    }
                }
            });
        }
        Ok(waiting.next)
    }

    async fn make(&self, task: &RunningTask) -> Result<(), StoreError> {
        let made = self.make_unless_ended(task).await;
        if self.store.has_others() {
            self.remove_if_deleted(task).await;
        }
        made
    }

    /// Removes what was made of a recording that was deleted by another server, which could not wait for the mix here. A deletion after this one's look finds it.
    async fn remove_if_deleted(&self, task: &RunningTask) {
        let job = task.job();
        while !task.stop().is_cancelled() {
            let removed = match self.store.spooled(job, String::new()).await {
                Ok(Spooled::Deleted) => self.recordings.remove_all(job).await.map(drop),
                Ok(Spooled::Live | Spooled::Waits(_) | Spooled::Over(_) | Spooled::Unknown) => {
                    Ok(())
                }
                Err(error) => Err(io::Error::other(error)),
            };
            let Err(error) = removed else { return };
            tracing::error!(%job, %error, "the mix of a deleted recording cannot be removed now");
            tokio::select! {
                () = task.stop().cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn make_unless_ended(&self, task: &RunningTask) -> Result<(), StoreError> {
        let job = task.job();
        // A deletion first drops the mix in the store and then stops the running task. So a mix that is still waiting in the store here,
        // and is registered, will be stopped by the deletion.
        let Some(ended) = self.store.waiting_mix(job).await? else { return Ok(()) };
        let Some(finished) = self.recordings.finished(&ended) else {
            return self.end(job, None).await;
        };
        let unwanted =
            (self.at_once == 0).then(|| "recordings.mix_at_once is 0 on this server".to_owned());
        let (folder, launcher) = (self.recordings.mix_folder(&finished), self.launcher.as_ref());
        match making::make(&finished, folder, launcher, unwanted, task.stop()).await {
            Ok(None) => Ok(()),
            Ok(Some(manifest)) => {
                self.end(job, derive::file(manifest)).await?;
                self.forget_copy(job, &finished).await;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(%job, "a recording whose mix is due has no manifest");
                self.end(job, None).await
            }
            Err(error) => {
                let next = self.store.put_off_mix(job, None, self.store.now()).await?;
                let next = next.map(|next| next.to_string());
                tracing::error!(%job, %error, next, "a mix cannot be made now");
                // Another server may delete the recording, or make its mix.
                if next.is_none() || self.store.has_others() {
                    self.forget_copy(job, &finished).await;
                }
                Ok(())
            }
        }
    }

    /// Removes the local copy of a recording in the bucket once no mix needs it.
    async fn forget_copy(&self, job: JobId, finished: &Finished) {
        if matches!(finished, Finished::InBucket { .. }) {
            self.recordings.remove_copy(job).await;
        }
    }

    /// Stores the result of a mix, which the manifest has already.
    async fn end(&self, job: JobId, made: Option<File>) -> Result<(), StoreError> {
        let is_made = made.is_some();
        let recording_bytes = self.recordings.bytes(job).await;
        if self.store.end_mix(job, made, recording_bytes, self.store.now()).await? && is_made {
            self.changes.notify_job(job);
            self.outbox.notify_one();
        }
        Ok(())
    }
}
