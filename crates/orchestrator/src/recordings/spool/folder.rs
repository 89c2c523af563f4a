//! The folders of jobs on a worker's disk, and the small files in which it stores how much of them is uploaded or fetched.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use meetbot_types::JobId;
use serde::{Serialize, de::DeserializeOwned};

use super::Spool;
use crate::recordings::local;

impl Spool {
    pub(super) fn of_job(&self, job: JobId) -> PathBuf {
        self.recordings.join(job.to_string())
    }

    pub(super) fn of_attempt(&self, job: JobId, epoch: u32) -> PathBuf {
        self.of_job(job).join(format!("e{epoch}"))
    }

    /// The file with the state of an attempt's log.
    pub(super) fn state_file(&self, job: JobId, epoch: u32, kind: &str) -> PathBuf {
        self.of_job(job).join(format!("e{epoch}.{kind}.json"))
    }

    /// Whether an attempt's files came from another worker.
    pub(super) fn is_fetched(&self, job: JobId, epoch: u32) -> bool {
        self.state_file(job, epoch, "fetched").exists()
    }

    /// The attempts whose bots ran here.
    pub(super) fn own_attempts(&self, job: JobId) -> io::Result<Vec<u32>> {
        let epoch = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix('e')?.parse().ok();
        let paths = local::entries(&self.of_job(job))?;
        let epochs = paths.iter().filter(|path| path.is_dir()).filter_map(epoch);
        Ok(epochs.filter(|epoch| !self.is_fetched(job, *epoch)).collect())
    }
}

/// Reads a state; `None` if there is none yet.
pub(super) fn read_state<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a state. The file is whole after a crash.
pub(super) fn write_state(path: &Path, state: &impl Serialize) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(&next)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(next, path)
}
