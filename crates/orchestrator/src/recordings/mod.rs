//! All access to recordings that are finished: which there are, their manifests and files, how many bytes they have, removed and shown to be gone.

mod count;
mod evidence;
mod local;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use meetbot_types::{Job, JobId, Manifest, RemovedObject};
use url::Url;

pub(crate) use self::count::count;
use crate::under_way::UnderWay;

/// The file that lists all others of a recording.
pub(crate) const MANIFEST: &str = "manifest.json";

/// All recordings.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    /// The folder of those on this machine's disk: one folder for each job, and in it one for each attempt.
    folder: PathBuf,
    /// The mixes that are being made in it.
    pub(crate) mixes: Arc<UnderWay>,
}

/// A finished recording: a manifest and the files that it lists.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    folder: PathBuf,
}

impl Finished {
    /// Its folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Its manifest.
    pub(crate) async fn manifest(&self) -> io::Result<Manifest> {
        let text = tokio::fs::read(self.file(MANIFEST)).await?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Where one of its files lies.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Recordings {
    /// Those in a folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, mixes: Arc::default() }
    }

    /// The recording of a job; `None` where it has no manifest.
    pub(crate) fn finished(&self, job: &Job) -> Option<Finished> {
        let folder = self.folder_named_by(job.id, job.manifest_uri.as_deref()?)?;
        Some(Finished { folder })
    }

    /// Whether the manifest with this URI is there.
    pub(crate) fn has_manifest(&self, job: JobId, uri: &str) -> bool {
        let folder = self.folder_named_by(job, uri);
        folder.is_some_and(|folder| folder.join(MANIFEST).is_file())
    }

    /// Whether anything is stored of a job.
    pub(crate) async fn has_files(&self, job: JobId) -> io::Result<bool> {
        tokio::fs::try_exists(self.of_job(job)).await
    }

    /// How many bytes all that is stored of a job has, as [`Recordings::remove`] would answer them; `None` where they cannot be counted.
    pub(crate) async fn bytes(&self, job: JobId) -> Option<u64> {
        let folder = self.of_job(job);
        let counted = tokio::task::spawn_blocking(move || local::bytes_in(&folder)).await;
        match counted.map_err(io::Error::other).flatten() {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::warn!(%job, %error, "the bytes of a recording cannot be counted; it is tried again");
                None
            }
        }
    }

    /// Removes all that is stored of a job, once a mix of it that is under way has ended; answers it, and what was named but gone already. Once this answers,
    /// nothing of it is there. The store has dropped the job's mix before, so that none begins meanwhile.
    pub(crate) async fn remove(&self, job: JobId) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
        self.mixes.end(job).await;
        let folder = self.of_job(job);
        let removed = tokio::task::spawn_blocking(move || local::remove_folder(&folder)).await;
        removed.map_err(io::Error::other)?
    }

    /// The data folder, on whose disk they grow.
    pub(crate) fn data_folder(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("."))
    }

    /// The folder of all that is on disk of a job.
    fn of_job(&self, job: JobId) -> PathBuf {
        self.folder.join(job.to_string())
    }

    /// The folder of the manifest with this URI. The URI may lead there by another path: of a disk behind a link, or of where the data folder was before it was
    /// moved.
    fn folder_named_by(&self, job: JobId, uri: &str) -> Option<PathBuf> {
        let manifest = Url::parse(uri).ok()?.to_file_path().ok()?;
        Some(self.of_job(job).join(manifest.parent()?.file_name()?))
    }
}
