//! Uploads the files of a finished recording from this machine's disk into the bucket.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
    path::Path,
};

use meetbot_types::{JobId, Manifest, manifest::File, signature::Digest};
use tokio_util::sync::CancellationToken;

use super::{
    MANIFEST,
    bucket::{Bucket, BucketError},
    of_job,
};

/// How much of a file is read at once.
const READ_AT_ONCE: usize = 64 * 1024;

/// Why a recording is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum BringError {
    /// Neither disk nor bucket has its manifest.
    #[error("its files are neither on disk nor in the bucket")]
    Gone,
    /// A file is not what the manifest says.
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// What becomes of a recording of which a file is missing or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// The other files are uploaded without one that is missing, and none is read before its upload.
    LeftOut,
    /// It is not uploaded.
    Fails,
}

/// Puts all files of a recording into the bucket that are not there yet, and its manifest last. Answers the manifest's URI and how many bytes all have.
pub(super) async fn bring(
    bucket: &Bucket,
    folder: &Path,
    (job, attempt): (JobId, &str),
    damage: Damage,
    stop: &CancellationToken,
) -> Result<(String, u64), BringError> {
    let attempt = of_job(job, attempt);
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
        Err(error) if error.kind() == io::ErrorKind::NotFound && there.contains_key(MANIFEST) => {
            return Ok((bucket.uri(&name(MANIFEST)), there.values().sum()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BringError::Gone),
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
            Err(error) if error.kind() == io::ErrorKind::NotFound && damage == Damage::LeftOut => {
                tracing::error!(%job, file = file.name, "a file of a recording is gone from the disk; the others go into the bucket without it");
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BringError::Damaged(format!("{} is gone from the disk", file.name)));
            }
            Err(error) => return Err(BucketError::Disk(error).into()),
        };
        if damage == Damage::Fails {
            check(&path, file, bytes).await?;
        }
        // The name is this upload's alone, and an object appears as a whole.
        if there.get(&file.name) != Some(&bytes) {
            bucket.put_file(&name(&file.name), &path, &file.media_type, stop).await?;
        }
        put.insert(file.name.clone(), bytes);
    }
    let there = sizes().await?;
    if let Some((file, bytes)) = put.iter().find(|(file, bytes)| there.get(*file) != Some(*bytes)) {
        let found = there.get(file);
        return Err(BucketError::Wrong(format!(
            "{} has {found:?} bytes in the bucket, and {bytes} on disk",
            name(file)
        ))
        .into());
    }
    let manifest_bytes = put_manifest(bucket, &name(MANIFEST), &text, &manifest).await?;
    Ok((bucket.uri(&name(MANIFEST)), put.values().sum::<u64>() + manifest_bytes))
}

/// Puts the manifest there, or finds it there from a try whose answer was lost; answers its size.
async fn put_manifest(
    bucket: &Bucket,
    name: &str,
    text: &[u8],
    manifest: &Manifest,
) -> Result<u64, BucketError> {
    match bucket.put_new(name, text.to_vec(), "application/json").await {
        Ok(()) => return Ok(text.len() as u64),
        Err(BucketError::Exists) => {}
        Err(error) => return Err(error),
    }
    let there = match bucket.get(name).await {
        Ok((there, _)) => there,
        Err(BucketError::Missing) => {
            return Err(BucketError::Away("the manifest is being written by another".to_owned()));
        }
        Err(error) => return Err(error),
    };
    // With the same content, or with the mix that was made since.
    match serde_json::from_slice::<Manifest>(&there) {
        Ok(found) if found.job_id == manifest.job_id => Ok(there.len() as u64),
        _ => Err(BucketError::Wrong(format!("{name} in the bucket is not this recording's"))),
    }
}

/// Fails unless a file has the size and the hash of the manifest.
async fn check(path: &Path, file: &File, bytes: u64) -> Result<(), BringError> {
    let of_disk = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash(&of_disk)).await;
    let sha256 = hashed.map_err(io::Error::other).flatten().map_err(BucketError::Disk)?;
    if (bytes, &sha256) == (file.bytes, &file.sha256) {
        return Ok(());
    }
    Err(BringError::Damaged(format!("{} is not the file of the manifest", file.name)))
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (fs::File::open(path)?, Digest::default());
    let mut bytes = vec![0; READ_AT_ONCE];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hash.finish()),
            read => hash.add(&bytes[..read]),
        }
    }
}
