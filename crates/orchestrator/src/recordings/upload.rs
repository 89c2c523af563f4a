//! Brings recordings that are finished on disk into the bucket, a few at a time, and ends their jobs once they are there.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use meetbot_types::{Job, JobId, Timestamp};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Recordings,
    bring::{BringError, Damage, bring},
    bucket::{Bucket, BucketError},
    local,
    stored::Logged,
};
use crate::{
    change_notifier::ChangeNotifier,
    clock::{Clock, StoreNow},
    jobs::{Upload, upload},
    running_tasks::RunningTask,
    store::{Store, StoreError},
};

/// How long to wait at most before looking again.
const POLL: Duration = Duration::from_secs(5);
/// How many are brought there at the same time. Of each up to 16 MiB are held in memory.
const AT_ONCE: usize = 3;
/// How many of those that wait are looked at.
const LOOKED_AT: u32 = 1000;
/// How often the bucket is asked for a recording of which no server hears.
const LOOKED_FOR: Duration = Duration::from_mins(1);

/// Whether the bucket's prefix was taken for this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It was.
    Yes,
    /// The bucket could not be reached.
    NotYet,
}

/// The progress of uploads to the bucket, as last observed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UploadHealth {
    /// How many wait, or are being brought there.
    pub(crate) waiting: u64,
    /// Since when the first of them waits.
    pub(crate) since: Option<Timestamp>,
    /// Why the last try failed; `None` after one that did not.
    pub(crate) problem: Option<String>,
}

/// Why a recording is not in the bucket.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error(transparent)]
    Bring(#[from] BringError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a server looks for the other servers' mark in the bucket, and the pause between two looks.
const MARK_LOOKS: u32 = 20;
const MARK_PAUSE: Duration = Duration::from_millis(250);

/// Takes the bucket's prefix for the servers of this store, and notes that it has their recordings. A bucket that cannot be reached keeps no server from
/// starting: meetings are recorded meanwhile.
pub(crate) async fn claim(bucket: &Bucket, store: &dyn Store) -> Result<Claimed, ClaimError> {
    let cluster = store.storage().await?.cluster;
    // The other server has marked its bucket: without the mark, this is another one of the same name. If both start at the same moment, the mark comes soon.
    let mut looks = 0;
    while store.has_others() && !store.has_duties() && matches!(bucket.owner().await, Ok(None)) {
        looks += 1;
        if looks == MARK_LOOKS {
            return Err(ClaimError::OfNoOther(bucket.url().to_owned()));
        }
        tokio::time::sleep(MARK_PAUSE).await;
    }
    match bucket.claim(&cluster).await {
        Ok(()) => {
            store.use_storage(bucket.url().to_owned()).await?;
            Ok(Claimed::Yes)
        }
        Err(error) if error.is_lasting() => Err(error.into()),
        Err(error) => {
            tracing::error!(bucket = bucket.url(), %error, "the bucket does not answer; recordings wait on this machine's disk");
            Ok(Claimed::NotYet)
        }
    }
}

/// Why a prefix could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not the bucket of the other servers.
    #[error(
        "the bucket {0} is not that of the other servers on this database, or they could not reach it yet: give all of them the same storage.url and storage.endpoint"
    )]
    OfNoOther(String),
}

/// Brings recordings into the bucket.
#[derive(Clone)]
pub(crate) struct Uploads {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) recordings: Recordings,
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) clock: Clock,
    /// A bot has ended its work.
    pub(crate) wake: Arc<Notify>,
    /// Wakes one of the tasks that wait for jobs to run.
    pub(crate) queue: Arc<Notify>,
    /// Wakes the webhook sender.
    pub(crate) outbox: Arc<Notify>,
    /// Wakes the task that has mixes made.
    pub(crate) mixes: Arc<Notify>,
    pub(crate) changes: Arc<ChangeNotifier>,
}

/// When those are tried again that failed: after how many tries, and at which moment of the steady clock.
type Later = HashMap<JobId, (u32, Duration)>;
/// When the bucket was asked since this server started for recordings that workers upload, on the steady clock.
type Looked = HashMap<JobId, Duration>;

impl Uploads {
    /// Runs until `stop`; what is under way is given up then, and begins again with the next server.
    pub(crate) async fn run(self, mut claimed: Claimed, stop: CancellationToken) {
        if let Err(error) = self.remove_copies().await {
            tracing::warn!(%error, "copies of recordings that are in the bucket stay on disk until the next start");
        }
        let (mut running_tasks, mut later) = (JoinSet::new(), Later::new());
        let mut looked = Looked::new();
        while !stop.is_cancelled() {
            if claimed == Claimed::NotYet {
                claimed = self.claim_again().await;
            }
            if let Err(error) =
                self.begin(claimed, &mut running_tasks, &later, &mut looked, &stop).await
            {
                tracing::warn!(%error, "recordings that wait for the bucket cannot be looked up");
            }
            let now = self.clock.now().steady;
            let next = later.values().map(|(_, at)| at.saturating_sub(now)).min();
            let sleep = next.map_or(POLL, |next| next.clamp(Duration::from_millis(50), POLL));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                Some(ended) = running_tasks.join_next() => match ended {
                    Ok((job, ended)) => self.note(job, ended, &mut later),
                    Err(error) => tracing::error!(%error, "an upload crashed"),
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
        running_tasks.abort_all();
        while running_tasks.join_next().await.is_some() {}
    }

    async fn claim_again(&self) -> Claimed {
        match claim(&self.bucket, self.store.as_ref()).await {
            Ok(Claimed::Yes) => Claimed::Yes,
            Ok(Claimed::NotYet) => {
                let problem = "it does not answer".to_owned();
                self.change_health(|health| health.problem = Some(problem));
                Claimed::NotYet
            }
            Err(error) => {
                tracing::error!(%error, "nothing is brought into the bucket");
                self.change_health(|health| health.problem = Some(error.to_string()));
                Claimed::NotYet
            }
        }
    }

    /// Begins as many as there is room for, those first that wait for longest.
    async fn begin(
        &self,
        claimed: Claimed,
        running_tasks: &mut JoinSet<(JobId, Result<(), UploadError>)>,
        later: &Later,
        looked: &mut Looked,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let waiting = self.store.waiting_uploads(LOOKED_AT).await?;
        let since = waiting.first.first().map(|(_, upload)| upload.since);
        self.change_health(|health| {
            (health.waiting, health.since) = (waiting.all, since);
            if waiting.all == 0 && claimed == Claimed::Yes {
                health.problem = None;
            }
        });
        if claimed == Claimed::NotYet {
            return Ok(());
        }
        for (job, upload) in waiting.first.iter().filter(|_| self.store.has_duties()) {
            if stop.is_cancelled() {
                return Ok(());
            }
            if self.recordings.is_given_up(*job) {
                continue;
            }
            self.look_at_workers_upload(*job, upload, looked).await?;
        }
        let (now, begun) = (self.clock.now().steady, self.recordings.uploads.jobs());
        let is_due = |job: &JobId| later.get(job).is_none_or(|(_, at)| *at <= now);
        let due = waiting.first.into_iter().filter(|(job, _)| {
            !begun.contains(job) && is_due(job) && !self.recordings.is_given_up(*job)
        });
        // Workers upload what they have.
        let due = due.filter(|(_, upload)| upload.spool.is_none());
        for (job, upload) in due.take(AT_ONCE.saturating_sub(begun.len())) {
            let place = self.recordings.uploads.begin(job, stop.child_token());
            let uploads = self.clone();
            running_tasks.spawn(async move { (job, uploads.make(&place, &upload).await) });
        }
        Ok(())
    }

    /// Ends the job of a recording that a worker uploads, if the bucket has all of it. Usually the worker reports the end; but after a restore of a database that
    /// is older than that report, it has no file of the job left, and does not ask. If no server hears of the worker any more, another one finishes the recording.
    async fn look_at_workers_upload(
        &self,
        job: JobId,
        upload: &Upload,
        looked: &mut Looked,
    ) -> Result<(), StoreError> {
        let Some(spool) = &upload.spool else { return Ok(()) };
        let now = self.store.now();
        let steady = self.clock.now().steady;
        // A worker that was not heard yet may have called the server before this one, or another one.
        let started = now.wall - steady;
        let mut heard = self.recordings.spools.heard(spool).unwrap_or(started);
        if upload.is_silent(heard, now) {
            heard = heard.max(self.store.spool_heard(spool.clone()).await?.unwrap_or(heard));
        }
        let is_due = match looked.get(&job) {
            None => upload.since < started || upload.is_silent(heard, now),
            Some(at) => upload.is_silent(heard, now) && *at + LOOKED_FOR <= steady,
        };
        if !is_due {
            return Ok(());
        }
        let found = match self.recordings.stored(job, upload).await {
            Ok(stored) => return self.end(job, upload, Some(stored)).await,
            Err(BucketError::Missing | BucketError::Wrong(_)) if upload.is_silent(heard, now) => {
                self.recordings.logged(job, upload).await
            }
            Err(BucketError::Missing | BucketError::Wrong(_)) => Ok(Logged::Nothing),
            Err(error) => Err(error),
        };
        match (found, upload.is_lost(Some(heard), now.wall)) {
            (Ok(Logged::All), _) | (Ok(Logged::Some), true) => {
                self.finish_elsewhere(job, upload, now).await?;
            }
            (Ok(Logged::Nothing), true) => self.end(job, upload, None).await?,
            // The rest may come.
            (Ok(Logged::Some | Logged::Nothing), false) => {
                looked.insert(job, steady);
            }
            (Err(error), _) => {
                if upload.is_silent(heard, now) {
                    looked.insert(job, steady);
                }
                tracing::warn!(%job, %error, "the bucket cannot be asked for a recording");
            }
        }
        Ok(())
    }

    /// Has the next worker finish a recording from its log.
    async fn finish_elsewhere(
        &self,
        job: JobId,
        upload: &Upload,
        now: StoreNow,
    ) -> Result<(), StoreError> {
        let goes = self.store.finish_elsewhere(job, upload.nonce.clone(), now).await?;
        if goes.is_some() {
            tracing::warn!(%job, "no server hears of the worker that has a finished recording: another worker finishes it from what is in the bucket");
            self.changes.notify_job(job);
            self.queue.notify_one();
            self.outbox.notify_one();
        }
        Ok(())
    }

    /// What became of a try.
    fn note(&self, job: JobId, ended: Result<(), UploadError>, later: &mut Later) {
        match ended {
            Ok(()) => {
                // The bucket is there: those that waited for it are due.
                for (_, at) in later.values_mut() {
                    *at = Duration::ZERO;
                }
                later.remove(&job);
                self.change_health(|health| health.problem = None);
            }
            Err(UploadError::Bring(BringError::Bucket(BucketError::Stopped))) => {
                later.remove(&job);
            }
            Err(error) => {
                let (tries, at) = later.entry(job).or_default();
                *tries += 1;
                let wait = upload::wait(*tries);
                *at = self.clock.now().steady + wait;
                tracing::error!(%job, %error, again_in_seconds = wait.as_secs(), "a recording is not in the bucket yet");
                self.change_health(|health| health.problem = Some(error.to_string()));
            }
        }
    }

    fn change_health(&self, change: impl FnOnce(&mut UploadHealth)) {
        change(&mut self.recordings.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn make(&self, place: &RunningTask, upload: &Upload) -> Result<(), UploadError> {
        let job = place.job();
        // A deletion ends the job's running task before it removes the job, so a task that still runs is stopped.
        let folder = self.recordings.of_attempt(job, upload.epoch);
        let attempt = upload.folder();
        let brought = bring(&self.bucket, &folder, (job, &attempt), Damage::LeftOut, place.stop());
        let stored = match brought.await {
            Ok(stored) => Some(stored),
            // Another server may have the files.
            Err(BringError::Gone)
                if upload.is_lost(None, self.clock.now().wall) && !self.store.has_others() =>
            {
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.end(job, upload, stored).await?)
    }

    /// Ends the job of an upload: the recording is in the bucket, with a manifest at this URI and so many bytes, or is lost. A job that does not wait for this
    /// upload any more stays as it is.
    pub(crate) async fn end(
        &self,
        job: JobId,
        upload: &Upload,
        stored: Option<(String, u64)>,
    ) -> Result<(), StoreError> {
        let (nonce, now) = (upload.nonce.clone(), self.store.now());
        let ended = self.store.end_upload(job, nonce, stored.clone(), now).await?;
        let Some(Job { status, .. }) = ended else { return Ok(()) };
        match stored {
            Some((uri, bytes)) => {
                tracing::info!(%job, uri, bytes, %status, "a recording is in the bucket");
            }
            None => {
                tracing::error!(%job, "a recording is lost: it was never in the bucket, and its files are gone from the disk, or no server has heard of the worker that has them");
            }
        }
        self.changes.notify_job(job);
        self.outbox.notify_one();
        self.mixes.notify_one();
        Ok(())
    }

    /// Removes local files of uploaded recordings that a killed server left.
    async fn remove_copies(&self) -> io::Result<()> {
        for job in local::jobs(&self.recordings.folder)? {
            match self.store.is_stored(job).await {
                Ok(true) => self.recordings.remove_copy(job).await,
                Ok(false) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    }
}
