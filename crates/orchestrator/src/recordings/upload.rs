//! Brings recordings that are finished on disk into the bucket, a few at a time, and ends their jobs once they are there.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use meetbot_types::{Job, JobId, Manifest, Timestamp};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    MANIFEST, Recordings,
    bucket::{Bucket, BucketError},
    local, of_job,
};
use crate::{
    change_notifier::ChangeNotifier,
    clock::Clock,
    jobs::{Upload, upload},
    running_tasks::RunningTask,
    store::{Store, StoreError},
};

/// How long to wait at most before looking again.
const POLL: Duration = Duration::from_secs(5);
/// How many are brought there at the same time. Of each up to 16 MiB are held in memory.
const AT_ONCE: usize = 3;
/// How many of those that wait are looked at.
const LOOKED_AT: u32 = 200;

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
    /// Neither disk nor bucket has its manifest.
    #[error("its files are neither on disk nor in the bucket")]
    Gone,
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the bucket's prefix for the servers of this store, and notes that it has their recordings. A bucket that cannot be reached keeps no server from
/// starting: meetings are recorded meanwhile.
pub(crate) async fn claim(bucket: &Bucket, store: &dyn Store) -> Result<Claimed, ClaimError> {
    let cluster = store.storage().await?.cluster;
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
    /// Wakes the webhook sender.
    pub(crate) outbox: Arc<Notify>,
    /// Wakes the task that has mixes made.
    pub(crate) mixes: Arc<Notify>,
    pub(crate) changes: Arc<ChangeNotifier>,
}

/// When those are tried again that failed: after how many tries, and at which moment of the steady clock.
type Later = HashMap<JobId, (u32, Duration)>;

impl Uploads {
    /// Runs until `stop`; what is under way is given up then, and begins again with the next server.
    pub(crate) async fn run(self, mut claimed: Claimed, stop: CancellationToken) {
        if let Err(error) = self.remove_copies().await {
            tracing::warn!(%error, "copies of recordings that are in the bucket stay on disk until the next start");
        }
        let (mut running_tasks, mut later) = (JoinSet::new(), Later::new());
        while !stop.is_cancelled() {
            if claimed == Claimed::NotYet {
                claimed = self.claim_again().await;
            }
            if let Err(error) = self.begin(claimed, &mut running_tasks, &later, &stop).await {
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
        let (now, begun) = (self.clock.now().steady, self.recordings.uploads.jobs());
        let is_due = |job: &JobId| later.get(job).is_none_or(|(_, at)| *at <= now);
        let due = waiting.first.into_iter().filter(|(job, _)| {
            !begun.contains(job) && is_due(job) && !self.recordings.is_given_up(*job)
        });
        for (job, upload) in due.take(AT_ONCE.saturating_sub(begun.len())) {
            let place = self.recordings.uploads.begin(job, stop.child_token());
            let uploads = self.clone();
            running_tasks.spawn(async move { (job, uploads.make(&place, &upload).await) });
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
            Err(UploadError::Bucket(BucketError::Stopped)) => {
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
        let stored = match self.bring(job, upload, place.stop()).await {
            Ok(stored) => Some(stored),
            Err(UploadError::Gone) if upload.is_lost(self.clock.now().wall) => None,
            Err(error) => return Err(error),
        };
        let ended = self.store.end_upload(job, stored.clone(), self.store.now()).await?;
        let Some(Job { status, .. }) = ended else { return Ok(()) };
        match stored {
            Some((uri, bytes)) => {
                tracing::info!(%job, uri, bytes, %status, "a recording is in the bucket");
            }
            None => {
                tracing::error!(%job, "a recording is lost: its files are gone from the disk and were never in the bucket");
            }
        }
        self.changes.notify_job(job);
        self.outbox.notify_one();
        self.mixes.notify_one();
        Ok(())
    }

    /// Puts all files of a recording into the bucket that are not there yet, and its manifest last. Answers the manifest's URI and how many bytes all have.
    async fn bring(
        &self,
        job: JobId,
        upload: &Upload,
        stop: &CancellationToken,
    ) -> Result<(String, u64), UploadError> {
        let bucket = &self.bucket;
        let folder = self.recordings.of_attempt(job, upload.epoch);
        let attempt = of_job(job, &upload.folder());
        let name = |file: &str| format!("{attempt}/{file}");
        let sizes = async || {
            let listed = bucket.list(&attempt).await?;
            Ok::<HashMap<String, u64>, BucketError>(
                listed.into_iter().map(|object| (object.name, object.bytes)).collect(),
            )
        };
        let there = sizes().await?;
        let text = match tokio::fs::read(folder.join(MANIFEST)).await {
            Ok(text) => text,
            // As after a restore of a database that was older than the end of this upload.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && there.contains_key(MANIFEST) =>
            {
                return Ok((bucket.uri(&name(MANIFEST)), there.values().sum()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(UploadError::Gone),
            Err(error) => return Err(BucketError::Disk(error).into()),
        };
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| BucketError::Disk(io::Error::other(error)))?;
        let mut put = HashMap::new();
        for file in &manifest.files {
            if stop.is_cancelled() {
                return Err(BucketError::Stopped.into());
            }
            let path = folder.join(&file.name);
            let bytes = match tokio::fs::metadata(&path).await {
                Ok(found) => found.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::error!(%job, file = file.name, "a file of a recording is gone from the disk; the others go into the bucket without it");
                    continue;
                }
                Err(error) => return Err(BucketError::Disk(error).into()),
            };
            // The name is this upload's alone, and an object appears as a whole.
            if there.get(&file.name) != Some(&bytes) {
                bucket.put_file(&name(&file.name), &path, &file.media_type, stop).await?;
            }
            put.insert(file.name.clone(), bytes);
        }
        let there = sizes().await?;
        if let Some((file, bytes)) =
            put.iter().find(|(file, bytes)| there.get(*file) != Some(*bytes))
        {
            let found = there.get(file);
            return Err(BucketError::Wrong(format!(
                "{} has {found:?} bytes in the bucket, and {bytes} on disk",
                name(file)
            ))
            .into());
        }
        let manifest_bytes = self.put_manifest(&name(MANIFEST), &text, &manifest).await?;
        Ok((bucket.uri(&name(MANIFEST)), put.values().sum::<u64>() + manifest_bytes))
    }

    /// Puts the manifest there, or finds it there from a try whose answer was lost; answers its size.
    async fn put_manifest(
        &self,
        name: &str,
        text: &[u8],
        manifest: &Manifest,
    ) -> Result<u64, BucketError> {
        match self.bucket.put_new(name, text.to_vec(), "application/json").await {
            Ok(()) => return Ok(text.len() as u64),
            Err(BucketError::Exists) => {}
            Err(error) => return Err(error),
        }
        let there = match self.bucket.get(name).await {
            Ok((there, _)) => there,
            Err(BucketError::Missing) => {
                return Err(BucketError::Away(
                    "the manifest is being written by another".to_owned(),
                ));
            }
            Err(error) => return Err(error),
        };
        // With the same content, or with the mix that was made since.
        match serde_json::from_slice::<Manifest>(&there) {
            Ok(found) if found.job_id == manifest.job_id => Ok(there.len() as u64),
            _ => Err(BucketError::Wrong(format!("{name} in the bucket is not this recording's"))),
        }
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
