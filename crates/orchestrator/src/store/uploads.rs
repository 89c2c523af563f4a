//! Calls for recordings that are uploaded to a bucket.

use async_trait::async_trait;
use meetbot_types::{Job, JobId};

use super::Result;
use crate::{
    clock::StoreNow,
    jobs::{Spooled, Upload},
};

/// Recordings that are finished on the disk of the server or a worker and not in the bucket yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingUploads {
    /// Those that wait for longest.
    pub first: Vec<(JobId, Upload)>,
    /// How many there are in all.
    pub all: u64,
}

/// The store's data about the bucket of its recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The id of this store's servers in the bucket; it never changes.
    pub cluster: String,
    /// Which bucket, as in `s3://bucket/prefix`; `None` before one was used.
    pub url: Option<String>,
}

/// Uploads of recordings to a bucket, and the bucket's identity.
#[async_trait]
pub trait UploadStore: Send + Sync + 'static {
    /// Recordings that are to be brought into the bucket. One waits from the report that ends its bot's work until [`UploadStore::end_upload`]: its job is
    /// `finalizing` meanwhile.
    async fn waiting_uploads(&self, limit: u32) -> Result<WaitingUploads>;
    /// The recording of the upload with this nonce is in the bucket, with a manifest at this URI and so many bytes (`stored`), or is lost for good: its job
    /// ends. Answers the job; `None` where it does not wait for this upload any more.
    async fn end_upload(
        &self,
        id: JobId,
        nonce: String,
        stored: Option<(String, u64)>,
        now: StoreNow,
    ) -> Result<Option<Job>>;
    /// No server hears of the worker that has the finished recording of the upload with this nonce: its job goes back to the queue, and the next bot finishes
    /// the recording from what is in the bucket. Answers the job; `None` where it does not wait for this upload any more.
    async fn finish_elsewhere(
        &self,
        id: JobId,
        nonce: String,
        now: StoreNow,
    ) -> Result<Option<Job>>;
    /// Whether the job's recording is in the bucket, and nothing is still to be made of it: a copy on disk is of no use any more.
    async fn is_stored(&self, id: JobId) -> Result<bool>;
    /// What the worker with this data folder does with the files that it has of a job.
    async fn spooled(&self, id: JobId, spool: String) -> Result<Spooled>;
    /// Jobs whose files were removed an hour or a day ago, and of which a worker that was cut off may have uploaded more since. With a bucket, each removal is
    /// remembered for a year, also that of a job that was deleted.
    async fn removals_due(&self, limit: u32, now: StoreNow) -> Result<Vec<JobId>>;
    /// The bucket was emptied of a removed job once more.
    async fn removal_repeated(&self, id: JobId, now: StoreNow) -> Result<()>;
    /// Forgets the removals of more than a year ago.
    async fn forget_removals(&self, now: StoreNow) -> Result<()>;
    /// Which bucket has the recordings.
    async fn storage(&self) -> Result<Storage>;
    /// From now on this bucket has the recordings.
    async fn use_storage(&self, url: String) -> Result<()>;
}
