//! The recordings of a worker that shares no disk with its server: on the worker's disk until they are in the bucket.
//!
//! While a meeting lasts, the worker uploads what the attempt's files gain, as a log (`ship`), from which another worker can continue or finish the recording (`fetch`).
//! When the recording is finished, it uploads the rest of the log, and then the files themselves, the manifest last.

mod fetch;
mod folder;
mod log;
mod mix;
mod ship;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meetbot_types::JobId;
use tokio_util::sync::CancellationToken;

use super::{
    MANIFEST,
    bring::{BringError, Damage, bring},
    bucket::{Bucket, BucketError},
    evidence, local,
};
use crate::{
    data_folder::{DataFolder, DataFolderError},
    jobs::upload,
};

/// The recordings in a worker's data folder.
pub struct Spool {
    bucket: Arc<Bucket>,
    name: String,
    recordings: PathBuf,
    /// One task works on the log of a job at a time.
    locks: Mutex<HashMap<JobId, Weak<tokio::sync::Mutex<()>>>>,
    /// How many bytes were added to logs.
    shipped: AtomicU64,
    /// No other worker or server uses the folder.
    folder: DataFolder,
}

/// Why files could not be uploaded or fetched.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// They are missing or damaged on this disk, and are not in the bucket.
    #[error("{0}")]
    Lost(String),
    /// The bucket, or this machine's disk; the same may work later.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl From<BringError> for SpoolError {
    fn from(error: BringError) -> Self {
        match error {
            BringError::Bucket(error) => Self::Bucket(error),
            lost => Self::Lost(lost.to_string()),
        }
    }
}

impl Spool {
    /// The recordings in this folder, which go into the bucket.
    pub fn open(folder: DataFolder, bucket: Bucket) -> Result<Self, DataFolderError> {
        let (name, recordings) = (folder.node()?, folder.recordings());
        let (bucket, locks) = (Arc::new(bucket), Mutex::default());
        let shipped = AtomicU64::new(0);
        let spool = Self { bucket, name, recordings, locks, shipped, folder };
        spool.remove_copies();
        Ok(spool)
    }

    /// The name of the data folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of the recordings.
    pub fn recordings(&self) -> &std::path::Path {
        &self.recordings
    }

    /// How many bytes were added to logs in the bucket, also by uploads that failed later.
    pub fn shipped_bytes(&self) -> u64 {
        self.shipped.load(Ordering::Relaxed)
    }

    /// The jobs that have files here.
    pub fn jobs(&self) -> io::Result<Vec<JobId>> {
        local::jobs(&self.recordings)
    }

    /// Whether an attempt has finished the recording.
    fn is_finished(&self, job: JobId, epoch: u32) -> bool {
        self.of_attempt(job, epoch).join(MANIFEST).exists()
    }

    /// Uploads the files of a finished recording, the manifest last. What is there already is not uploaded again.
    pub async fn upload(
        &self,
        job: JobId,
        epoch: u32,
        nonce: &str,
        stop: &CancellationToken,
    ) -> Result<(), SpoolError> {
        let (folder, attempt) = (self.of_attempt(job, epoch), upload::folder(epoch, nonce));
        bring(&self.bucket, &folder, (job, &attempt), Damage::Fails, stop).await?;
        Ok(())
    }

    /// Uploads the evidence of a job's joins that failed.
    pub async fn upload_evidence(&self, job: JobId) -> Result<(), SpoolError> {
        Ok(evidence::put(&self.bucket, job, &self.of_job(job)).await?)
    }

    /// Removes all files of a job.
    pub async fn forget(&self, job: JobId) -> io::Result<()> {
        let lock = self.lock(job);
        let _one_at_a_time = lock.lock().await;
        let folder = self.of_job(job);
        let removed = tokio::task::spawn_blocking(move || local::remove_folder(&folder)).await;
        removed.map_err(io::Error::other).flatten().map(drop)
    }

    /// How long to wait after so many uploads in a row that failed.
    pub fn pause(tries: u32) -> Duration {
        upload::wait(tries)
    }

    fn lock(&self, job: JobId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(&job).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(job, Arc::downgrade(&lock));
        lock
    }
}
