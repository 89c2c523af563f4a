//! Where a worker makes the mix of a recording that is in the bucket.

use std::{fs, io, path::PathBuf, sync::Arc};

use meetbot_types::JobId;

use super::Spool;
use crate::{
    jobs::upload,
    recordings::{finished::Finished, mixed::has_files},
};

impl Spool {
    /// The recording in this folder of a job's in the bucket.
    pub(crate) fn finished(&self, job: JobId, attempt: &str) -> Finished {
        Finished::InBucket { bucket: Arc::clone(&self.bucket), job, attempt: attempt.to_owned() }
    }

    /// The folder in which its mix is made: that of the attempt, if its bot ran here, or one for a copy.
    pub(crate) async fn mix_folder(&self, job: JobId, attempt: &str) -> io::Result<PathBuf> {
        let own = self.of_attempt(job, upload::epoch_of(attempt));
        let manifest = self.finished(job, attempt).manifest().await?;
        if has_files(&own, &manifest).await? {
            return Ok(own);
        }
        Ok(self.folder.mixes().join(job.to_string()))
    }

    /// Removes the copy of a recording.
    pub(crate) async fn remove_copy(&self, job: JobId) {
        let removed = tokio::fs::remove_dir_all(self.folder.mixes().join(job.to_string())).await;
        report(removed);
    }

    /// Removes the copies that a killed worker left.
    pub(super) fn remove_copies(&self) {
        report(fs::remove_dir_all(self.folder.mixes()));
    }
}

fn report(removed: io::Result<()>) {
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "copies of recordings that were mixed stay on disk until the next start");
    }
}
