//! The copy on disk of which the mix of a recording in the bucket is made, and the way of the mix into the bucket. Servers and workers share it.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use futures_util::TryStreamExt as _;
use meetbot_types::{
    JobId, Manifest,
    manifest::{File, MixState},
    signature::Digest,
};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    MANIFEST, Recordings,
    bucket::{Bucket, BucketError},
    finished::Finished,
    local,
};

impl Finished {
    /// Fetches the files of a recording from the bucket into a folder, unless they are there. Where its mix does not wait any more, nothing is fetched, and
    /// the manifest in the bucket is returned.
    pub(crate) async fn copy_into(&self, folder: &Path) -> io::Result<Option<Manifest>> {
        let Self::InBucket { bucket, .. } = self else { return Ok(None) };
        let manifest = self.manifest().await?;
        if !manifest.mixed.is_pending() {
            return Ok(Some(manifest));
        }
        if has_files(folder, &manifest).await? {
            return Ok(None);
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for track in manifest.tracks {
            fetch(bucket, &self.key(&track.file), &folder.join(&track.file)).await?;
        }
        fetch(bucket, &self.key(MANIFEST), &folder.join(MANIFEST)).await?;
        Ok(None)
    }

    /// Uploads what was made with the mix in a folder, and replaces the manifest in the bucket by this one. Returns the manifest that is there then. Another
    /// machine may do the same: an object is created once and never overwritten, and where another was first, the manifest describes its object. Nothing is to
    /// be done for a recording on disk.
    pub(crate) async fn publish(
        &self,
        folder: &Path,
        mut manifest: Manifest,
        stop: &CancellationToken,
    ) -> Result<Manifest, BucketError> {
        let Self::InBucket { bucket, .. } = self else { return Ok(manifest) };
        loop {
            let (text, e_tag) = bucket.get(&self.key(MANIFEST)).await?;
            let there = parse(&text)?;
            if !there.mixed.is_pending() {
                return Ok(there);
            }
            let is_new = |file: &&File| there.files.iter().all(|other| other.name != file.name);
            let new: Vec<File> = manifest.files.iter().filter(is_new).cloned().collect();
            for file in new {
                let (key, path) = (self.key(&file.name), folder.join(&file.name));
                match bucket.put_new_file(&key, &path, &file.media_type, stop).await {
                    Ok(_) => {}
                    Err(BucketError::Exists) => {
                        describe(&mut manifest, &file.name, digest(bucket, &key).await?);
                    }
                    Err(error) => return Err(error),
                }
            }
            let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
            match bucket.replace(&self.key(MANIFEST), text, "application/json", e_tag).await {
                Ok(()) => return Ok(manifest),
                // Another has replaced it.
                Err(BucketError::Changed) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Its manifest, once nothing more is to be made of the recording; `None` before. Fails unless the bucket has every file that was made, in its size.
    pub(crate) async fn mixed(&self) -> Result<Option<Manifest>, BucketError> {
        let Self::InBucket { bucket, .. } = self else { return Ok(None) };
        let manifest = parse(&bucket.get(&self.key(MANIFEST)).await?.0)?;
        let listed = bucket.list(self.key("").trim_end_matches('/')).await?;
        let there: HashMap<&str, u64> =
            listed.iter().map(|object| (object.name.as_str(), object.bytes)).collect();
        let is_made = |file: &&File| {
            manifest.mixed.state == Some(MixState::Made)
                && manifest.mixed.file.as_ref() == Some(&file.name)
        };
        match manifest.files.iter().find(is_made) {
            Some(file) if there.get(file.name.as_str()) != Some(&file.bytes) => {
                Err(BucketError::Wrong(format!("{} is not the file of its manifest", file.name)))
            }
            _ if manifest.mixed.is_pending() => Ok(None),
            _ => Ok(Some(manifest)),
        }
    }
}

impl Recordings {
    /// Removes the copy on disk of a recording that is in the bucket.
    pub(crate) async fn remove_copy(&self, job: JobId) {
        let folder = self.of_job(job);
        let removed = tokio::task::spawn_blocking(move || local::remove_attempts(&folder)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            tracing::warn!(%job, %error, "the copy of a recording that is in the bucket stays on disk until the next start");
        }
    }
}

fn parse(text: &[u8]) -> Result<Manifest, BucketError> {
    serde_json::from_slice(text)
        .map_err(|error| BucketError::Wrong(format!("the manifest in the bucket: {error}")))
}

/// Whether a folder has the recording with this manifest, and not another one of the same number, as after an older database was restored.
pub(super) async fn has_files(folder: &Path, manifest: &Manifest) -> io::Result<bool> {
    let here: Manifest = match tokio::fs::read(folder.join(MANIFEST)).await {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(manifest.files.iter().all(|file| here.files.contains(file)))
}

/// The manifest's entry of a file, where an object of the same name was made on another machine.
fn describe(manifest: &mut Manifest, name: &str, (bytes, sha256): (u64, String)) {
    for file in manifest.files.iter_mut().filter(|file| file.name == name) {
        (file.bytes, file.sha256) = (bytes, sha256.clone());
    }
    for track in manifest.tracks.iter_mut().filter(|track| track.file == name) {
        (track.bytes, track.sha256) = (bytes, sha256.clone());
    }
}

/// The size of an object, and the hash of its content. It may not be there yet: another machine is writing it.
async fn digest(bucket: &Bucket, key: &str) -> Result<(u64, String), BucketError> {
    let mut reading = bucket.read(key, None).await.map_err(|error| match error {
        BucketError::Missing => BucketError::Away("the mix is being written by another".to_owned()),
        error => error,
    })?;
    let (mut bytes, mut hash) = (0, Digest::default());
    while let Some(piece) = reading.content.try_next().await? {
        bytes += piece.len() as u64;
        hash.add(&piece);
    }
    Ok((bytes, hash.finish()))
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
