//! The copy on disk of which the mix of a recording in the bucket is made, and the way of the mix into the bucket.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt as _;
use meetbot_types::{JobId, Manifest, manifest::MixState};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    MANIFEST, Recordings,
    bucket::{Bucket, BucketError},
    finished::Finished,
    local,
};

impl Recordings {
    /// The folder in which the mix of a recording is made. Where the bucket alone has the files, they are read into it.
    pub(crate) async fn working_copy(&self, finished: &Finished) -> io::Result<PathBuf> {
        let (bucket, job, attempt) = match finished {
            Finished::OnDisk(folder) => return Ok(folder.clone()),
            Finished::InBucket { bucket, job, attempt } => (bucket, *job, attempt),
        };
        let epoch = attempt.split('.').next().and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        let folder = self.of_attempt(job, epoch);
        if tokio::fs::try_exists(folder.join(MANIFEST)).await? {
            return Ok(folder);
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for track in finished.manifest().await?.tracks {
            fetch(bucket, &finished.key(&track.file), &folder.join(&track.file)).await?;
        }
        fetch(bucket, &finished.key(MANIFEST), &folder.join(MANIFEST)).await?;
        Ok(folder)
    }

    /// Brings the mix that was made in a folder into the bucket, and replaces the manifest there by this one. Answers the manifest as it is then, and how many
    /// bytes the recording has. Nothing is to be done for a recording on disk.
    pub(crate) async fn publish(
        &self,
        finished: &Finished,
        folder: &Path,
        manifest: Manifest,
        stop: &CancellationToken,
    ) -> Result<Manifest, BucketError> {
        let Finished::InBucket { bucket, .. } = finished else { return Ok(manifest) };
        let (text, e_tag) = bucket.get(&finished.key(MANIFEST)).await?;
        let there: Manifest = serde_json::from_slice(&text)
            .map_err(|error| BucketError::Wrong(format!("the manifest in the bucket: {error}")))?;
        if !there.mixed.is_pending() {
            return Ok(there);
        }
        if let Some(name) =
            manifest.mixed.file.as_ref().filter(|_| manifest.mixed.state == Some(MixState::Made))
            && let Some(file) = manifest.files.iter().find(|file| file.name == *name)
        {
            bucket
                .put_file(&finished.key(name), &folder.join(name), &file.media_type, stop)
                .await?;
        }
        let text = tokio::fs::read(folder.join(MANIFEST)).await?;
        bucket.replace(&finished.key(MANIFEST), text, "application/json", e_tag).await?;
        Ok(manifest)
    }

    /// Removes the copy on disk of a recording that is in the bucket.
    pub(crate) async fn remove_copy(&self, job: JobId) {
        let folder = self.of_job(job);
        let removed = tokio::task::spawn_blocking(move || local::remove_attempts(&folder)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            tracing::warn!(%job, %error, "the copy of a recording that is in the bucket stays on disk until the next start");
        }
    }
}

/// Reads an object into a file that only its owner can read, and that has its name once it is whole.
async fn fetch(bucket: &Bucket, key: &str, path: &Path) -> io::Result<()> {
    let torn = path.with_extension("part");
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = tokio::fs::File::from_std(open.open(&torn)?);
    let mut reading = bucket.read(key, None).await?;
    while let Some(piece) = reading.content.try_next().await? {
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    tokio::fs::rename(&torn, path).await
}
