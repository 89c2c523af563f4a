//! All access to recordings that are finished: which there are, their manifests and files, how many bytes they have, removed and shown to be gone. They lie on
//! the disk of this machine, or in a bucket.

mod again;
mod bring;
pub(crate) mod bucket;
mod count;
mod evidence;
mod finished;
mod local;
mod mixed;
mod spool;
mod spools;
mod stored;
mod upload;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use meetbot_types::{Job, JobId, Manifest, RemovedObject};
use url::Url;

pub(crate) use self::{
    again::remove_again,
    count::count,
    evidence::StoredObject,
    finished::Finished,
    upload::{Claimed, UploadHealth, Uploads, claim},
};
use self::{
    bucket::{Bucket, Listed},
    spools::Spools,
};
pub use self::{
    spool::{Spool, SpoolError},
    upload::ClaimError,
};
use crate::{jobs, running_tasks::RunningTasks, store::Recorded};

/// The file that lists all others of a recording.
pub(crate) const MANIFEST: &str = "manifest.json";
/// What the keys of all recordings in a bucket begin with.
const JOBS: &str = "jobs";

/// The folder, in a job's, of the logs that workers upload while a meeting lasts.
const LOG: &str = "log";
/// The last object of the log of an attempt that has finished the recording.
const LOG_END: &str = "end";

/// How long the nonce of an upload is.
const NONCE_LETTERS: usize = 10;

/// All recordings.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    /// The folder of those on this machine's disk: one folder for each job, and in it one for each attempt.
    folder: PathBuf,
    /// The bucket that they are brought into.
    bucket: Option<Arc<Bucket>>,
    /// The mixes that are being made of them.
    pub(crate) mixes: Arc<RunningTasks>,
    /// Those that are being brought into the bucket.
    uploads: Arc<RunningTasks>,
    /// How these come along.
    health: Arc<Mutex<UploadHealth>>,
    /// Those that are not to be brought there any more, since their jobs are being erased.
    given_up: Arc<Mutex<HashSet<JobId>>>,
    /// When the workers were heard that have recordings on their own disks.
    pub(crate) spools: Arc<Spools>,
}

impl Recordings {
    /// Those in a folder, and in a bucket.
    pub(crate) fn new(folder: PathBuf, bucket: Option<Arc<Bucket>>) -> Self {
        Self {
            folder,
            bucket,
            mixes: Arc::default(),
            uploads: Arc::default(),
            health: Arc::default(),
            given_up: Arc::default(),
            spools: Arc::default(),
        }
    }

    /// The progress of uploads to the bucket.
    pub(crate) fn health(&self) -> UploadHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The recording of a job; `None` where it has no manifest.
    pub(crate) fn finished(&self, job: &Job) -> Option<Finished> {
        let uri = job.manifest_uri.as_deref()?;
        match (attempt_in_bucket(uri), &self.bucket) {
            (Some(attempt), Some(bucket)) => {
                Some(Finished::InBucket { bucket: Arc::clone(bucket), job: job.id, attempt })
            }
            _ => Some(Finished::OnDisk(self.folder_named_by(job.id, uri)?)),
        }
    }

    /// Whether the manifest with this URI is on disk. `None`: it lies in a bucket.
    pub(crate) fn has_manifest(&self, job: JobId, uri: &str) -> Option<bool> {
        if attempt_in_bucket(uri).is_some() {
            return None;
        }
        let folder = self.folder_named_by(job, uri);
        Some(folder.is_some_and(|folder| folder.join(MANIFEST).is_file()))
    }

    /// Where the mix of a recording is made here: on the disk that has it, or in a copy.
    pub(crate) fn mix_folder(&self, finished: &Finished) -> PathBuf {
        match finished {
            Finished::OnDisk(folder) => folder.clone(),
            Finished::InBucket { job, attempt, .. } => {
                self.of_attempt(*job, jobs::upload::epoch_of(attempt))
            }
        }
    }

    /// Whether anything of a job is on disk.
    pub(crate) fn is_on_disk(&self, job: JobId) -> bool {
        self.of_job(job).exists()
    }

    /// Whether anything is stored of a job.
    pub(crate) async fn has_files(&self, job: JobId) -> io::Result<bool> {
        Ok(tokio::fs::try_exists(self.of_job(job)).await? || !self.objects(job).await?.is_empty())
    }

    /// How many bytes all that is stored of a job has; `None` where they cannot be counted.
    pub(crate) async fn bytes(&self, job: JobId) -> Option<u64> {
        let counted = async {
            let objects = self.objects(job).await?;
            // What is in the bucket counts once, also while the copy on disk is of use.
            if !objects.is_empty() {
                let in_bucket: u64 = objects.iter().map(|object| object.bytes).sum();
                return Ok(in_bucket + self.bytes_of_evidence(job).await?);
            }
            self.bytes_on_disk(job).await
        };
        counted.await.inspect_err(|error: &io::Error| cannot_count(job, error)).ok()
    }

    /// The data about a recording when its bot reports the end; with a bucket it includes the upload. `spool`: the data folder of the worker that has the files.
    pub(crate) async fn recorded(&self, job: JobId, spool: Option<String>) -> Recorded {
        let counted = self.bytes_on_disk(job).await;
        let bytes = counted.inspect_err(|error| cannot_count(job, error)).ok();
        let upload = self.bucket.is_some().then(|| crate::letters::letters(NONCE_LETTERS));
        Recorded { bytes, upload, spool }
    }

    /// The same of what is on disk.
    async fn bytes_on_disk(&self, job: JobId) -> io::Result<u64> {
        let folder = self.of_job(job);
        let counted = tokio::task::spawn_blocking(move || local::bytes_in(&folder)).await;
        counted.map_err(io::Error::other).flatten()
    }

    /// The same of the evidence of joins that failed, as far as it is on disk.
    async fn bytes_of_evidence(&self, job: JobId) -> io::Result<u64> {
        Ok(self.evidence_on_disk(job).await?.iter().map(|file| file.bytes).sum())
    }

    /// How many bytes each job has in the bucket that has any there.
    async fn bytes_in_bucket(&self) -> io::Result<HashMap<JobId, u64>> {
        let Some(bucket) = &self.bucket else { return Ok(HashMap::new()) };
        let mut bytes = HashMap::new();
        for Listed { name, bytes: of_object } in bucket.list(JOBS).await? {
            let job = name.split_once('/').and_then(|(job, _)| job.parse().ok());
            if let Some(job) = job {
                *bytes.entry(job).or_default() += of_object;
            }
        }
        Ok(bytes)
    }

    /// Brings nothing of a job into the bucket any more, which is being erased.
    pub(crate) async fn give_up_upload(&self, job: JobId) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
        self.uploads.end(job).await;
    }

    fn is_given_up(&self, job: JobId) -> bool {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).contains(&job)
    }

    /// Removes all that is stored of a job, once nothing writes into it any more; answers it, and what was named but gone already. Once this answers, nothing of
    /// it is there. The store has dropped the job's mix before, so that none begins meanwhile.
    pub(crate) async fn remove(&self, job: JobId) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
        self.mixes.end(job).await;
        self.remove_all(job).await
    }

    /// The same, while a mix may still be made.
    pub(crate) async fn remove_all(
        &self,
        job: JobId,
    ) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
        let (mut removed, mut gone) = self.remove_objects(job).await?;
        let (on_disk, gone_from_disk) = self.remove_from_disk(job).await?;
        removed.extend(on_disk);
        gone.extend(gone_from_disk);
        Ok((removed, gone))
    }

    /// Whether recordings are uploaded to a bucket.
    pub(crate) const fn has_bucket(&self) -> bool {
        self.bucket.is_some()
    }

    /// Removes from the bucket what workers uploaded of a job that has ended, and that nobody needs: the logs of its attempts, and files of a finished recording
    /// that another worker finished again. A recording with a manifest stays, also if the job does not name it, as after an older database was restored.
    /// `manifest_uri`: of the job's own.
    pub(crate) async fn remove_leftovers(
        &self,
        job: JobId,
        manifest_uri: Option<&str>,
    ) -> io::Result<()> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let (objects, own) = (self.objects(job).await?, manifest_uri.and_then(attempt_in_bucket));
        let left = leftovers(objects.iter().map(|object| object.name.as_str()), own.as_deref());
        let left: Vec<String> = left.into_iter().map(|name| of_job(job, name)).collect();
        Ok(bucket.remove(&left).await?)
    }

    /// The same of what is on disk.
    async fn remove_from_disk(&self, job: JobId) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
        let folder = self.of_job(job);
        let removed = tokio::task::spawn_blocking(move || local::remove_folder(&folder)).await;
        removed.map_err(io::Error::other)?
    }

    async fn remove_objects(&self, job: JobId) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
        let Some(bucket) = &self.bucket else { return Ok((Vec::new(), Vec::new())) };
        let (mut objects, mut named) = (self.objects(job).await?, BTreeSet::new());
        // The manifests last: an interrupted deletion reads them again to list the files.
        objects.sort_by_key(|object| object.name.ends_with(MANIFEST));
        let whole = |object: &Listed| of_job(job, &object.name);
        let is_manifest = |object: &&Listed| object.name.ends_with(MANIFEST);
        for manifest in objects.iter().filter(is_manifest) {
            let (text, _) = bucket.get(&whole(manifest)).await?;
            let attempt = manifest.name.trim_end_matches(MANIFEST);
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) {
                named.extend(
                    manifest.files.into_iter().map(|file| format!("{attempt}{}", file.name)),
                );
            }
        }
        let (manifests, files): (Vec<_>, Vec<_>) = objects.iter().partition(is_manifest);
        for portion in [files, manifests] {
            let keys: Vec<String> = portion.into_iter().map(whole).collect();
            bucket.remove(&keys).await?;
        }
        let removed: Vec<RemovedObject> = objects
            .into_iter()
            .map(|Listed { name, bytes }| RemovedObject { name, bytes })
            .collect();
        named.retain(|name| removed.iter().all(|object| object.name != *name));
        Ok((removed, named.into_iter().collect()))
    }

    /// What the bucket has of a job: as in `1.k3v9/manifest.json`.
    async fn objects(&self, job: JobId) -> io::Result<Vec<Listed>> {
        let Some(bucket) = &self.bucket else { return Ok(Vec::new()) };
        Ok(bucket.list(&format!("{JOBS}/{job}")).await?)
    }

    /// The data folder, on whose disk they grow.
    pub(crate) fn data_folder(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("."))
    }

    /// The folder of all that is on disk of a job.
    fn of_job(&self, job: JobId) -> PathBuf {
        self.folder.join(job.to_string())
    }

    /// The folder of a finished attempt's files.
    fn of_attempt(&self, job: JobId, epoch: u32) -> PathBuf {
        self.of_job(job).join(format!("e{epoch}"))
    }

    /// The folder of the manifest with this URI. The URI may lead there by another path: of a disk behind a link, or of where the data folder was before it was
    /// moved.
    fn folder_named_by(&self, job: JobId, uri: &str) -> Option<PathBuf> {
        let manifest = Url::parse(uri).ok()?.to_file_path().ok()?;
        Some(self.of_job(job).join(manifest.parent()?.file_name()?))
    }
}

/// Of the names of a job's objects those of logs, and, if this folder has its recording, those of other uploads without a manifest.
fn leftovers<'a>(names: impl Iterator<Item = &'a str> + Clone, own: Option<&str>) -> Vec<&'a str> {
    let folder = |name: &'a str| name.split_once('/').map_or("", |(folder, _)| folder);
    let is_manifest = |name: &&str| name.ends_with(&format!("/{MANIFEST}"));
    let whole: HashSet<&str> = names.clone().filter(is_manifest).map(folder).collect();
    let is_left = |name: &&'a str| match (folder(name), own) {
        (LOG, _) => true,
        (folder, Some(own)) => {
            jobs::upload::is_folder(folder) && folder != own && !whole.contains(folder)
        }
        _ => false,
    };
    names.filter(is_left).collect()
}

/// The name of an object of a job in the bucket.
fn of_job(job: JobId, name: &str) -> String {
    format!("{JOBS}/{job}/{name}")
}

/// The folder of a manifest in a bucket; `None` where the URI leads to a disk. The URI may name another bucket, from which all was copied into this one.
fn attempt_in_bucket(uri: &str) -> Option<String> {
    let attempt = uri.strip_prefix("s3://")?.rsplit('/').nth(1)?;
    Some(attempt.to_owned())
}

fn cannot_count(job: JobId, error: &io::Error) {
    tracing::warn!(%job, %error, "the bytes of a recording cannot be counted; it is tried again");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_from_the_bucket_or_the_disk_of_its_uri() {
        let uri = "s3://acme/meetings/jobs/job_01/2.k3v9/manifest.json";
        assert_eq!(attempt_in_bucket(uri).as_deref(), Some("2.k3v9"));
        assert_eq!(attempt_in_bucket("file:///var/lib/recordings/job_01/e2/manifest.json"), None);
    }

    #[test]
    fn logs_and_other_uploads_without_a_manifest_are_left_over_when_a_job_has_ended() {
        let names = [
            "log/1.abc/00000000",
            "log/1.abc/end",
            "1.k3v9/audio.Ada.webm",
            "2.x/audio.Ada.webm",
            "3.y/audio.Ada.webm",
            "3.y/manifest.json",
            "evidence/12/evidence-1-1.json",
        ];
        assert_eq!(leftovers(names.into_iter(), Some("2.x")), names[..3]);
        assert_eq!(leftovers(names.into_iter(), None), names[..2], "the job has no recording");
    }
}
