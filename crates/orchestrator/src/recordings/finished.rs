//! One recording that is finished.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use meetbot_types::{JobId, Manifest};

use super::{MANIFEST, bucket::Bucket, of_job};

/// A manifest and the files that it lists.
#[derive(Debug, Clone)]
pub(crate) enum Finished {
    /// They lie in this folder.
    OnDisk(PathBuf),
    /// They lie in the bucket.
    InBucket {
        /// This one.
        bucket: Arc<Bucket>,
        /// The job.
        job: JobId,
        /// The folder in the job's, as in `1.k3v9`.
        attempt: String,
    },
}

impl Finished {
    /// Its manifest.
    pub(crate) async fn manifest(&self) -> io::Result<Manifest> {
        Ok(serde_json::from_slice(&self.manifest_text().await?)?)
    }

    /// Its manifest as it is written.
    pub(crate) async fn manifest_text(&self) -> io::Result<Bytes> {
        match self {
            Self::OnDisk(folder) => Ok(tokio::fs::read(folder.join(MANIFEST)).await?.into()),
            Self::InBucket { bucket, .. } => Ok(bucket.get(&self.key(MANIFEST)).await?.0),
        }
    }

    /// The name of one of its files in the bucket.
    pub(crate) fn key(&self, name: &str) -> String {
        match self {
            Self::OnDisk(_) => name.to_owned(),
            Self::InBucket { job, attempt, .. } => of_job(*job, &format!("{attempt}/{name}")),
        }
    }
}
