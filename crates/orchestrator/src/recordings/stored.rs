//! What is in the bucket of a recording that a worker uploads.

use std::collections::HashMap;

use meetbot_types::{JobId, Manifest};

use super::{LOG, LOG_END, MANIFEST, Recordings, bucket::BucketError, of_job};
use crate::jobs::Upload;

/// How much the bucket has of the logs of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    Nothing,
    /// The rest was not uploaded.
    Some,
    /// All of the attempt that finished the recording.
    All,
}

impl Recordings {
    /// The URI of the manifest, and how many bytes all files have. Fails unless the bucket has every file of the manifest, in its size. Their content is what the
    /// worker has hashed: each request that stores something is signed with the hash of its body.
    pub(crate) async fn stored(
        &self,
        job: JobId,
        upload: &Upload,
    ) -> Result<(String, u64), BucketError> {
        let Some(bucket) = &self.bucket else { return Err(BucketError::Missing) };
        let attempt = of_job(job, &upload.folder());
        let name = format!("{attempt}/{MANIFEST}");
        let listed = bucket.list(&attempt).await?;
        let there: HashMap<&str, u64> =
            listed.iter().map(|object| (object.name.as_str(), object.bytes)).collect();
        let (text, _) = bucket.get(&name).await?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| BucketError::Wrong(format!("{name}: {error}")))?;
        if manifest.job_id != job {
            return Err(BucketError::Wrong(format!("{name} is not this recording's")));
        }
        let mut bytes = text.len() as u64;
        for file in &manifest.files {
            if there.get(file.name.as_str()) != Some(&file.bytes) {
                return Err(BucketError::Wrong(format!(
                    "{attempt}/{} has {:?} bytes in the bucket, and {} in the manifest",
                    file.name,
                    there.get(file.name.as_str()),
                    file.bytes
                )));
            }
            bytes += file.bytes;
        }
        Ok((bucket.uri(&name), bytes))
    }

    /// How much the bucket has of the job's logs.
    pub(super) async fn logged(&self, job: JobId, upload: &Upload) -> Result<Logged, BucketError> {
        let (Some(bucket), Some(spool)) = (&self.bucket, &upload.spool) else {
            return Ok(Logged::Nothing);
        };
        let objects = bucket.list(&of_job(job, LOG)).await?;
        let end = format!("{}.{spool}/{LOG_END}", upload.epoch);
        Ok(match &objects[..] {
            [] => Logged::Nothing,
            objects if objects.iter().any(|object| object.name == end) => Logged::All,
            _ => Logged::Some,
        })
    }
}
