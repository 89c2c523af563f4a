//! Restores a backup into a data folder, and makes a PostgreSQL database ready into which a dump was restored.

use std::path::{Path, PathBuf};

use meetbot_types::{JobId, Timestamp};

use crate::{
    data_folder::{DataFolder, DataFolderError},
    recordings::Recordings,
    store::{self, CopyError, ReadyError, RestoreOptions, RestoredDatabase, StoreUrl},
};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The absolute path of the data folder.
    pub folder: PathBuf,
    /// How many jobs.
    pub jobs: u64,
    /// How many of them had a bot and have not ended: the next server continues them.
    pub running: u64,
    /// How many webhooks are still to be delivered.
    pub deliveries: u64,
    /// How many jobs have a recording on disk.
    pub recordings: usize,
    /// How many of these have no manifest in the restored folder.
    pub missing: usize,
    /// Whether the restored database is paused.
    pub paused: bool,
}

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The folder already has a database.
    #[error("{} is there already: give --data-dir a new folder; a backup is never put over a database", .0.display())]
    Occupied(PathBuf),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// The backup cannot be copied into it.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// Copies a backup into a data folder, which is created if it does not exist, readable by its owner only. A folder with a database is refused.
pub fn restore(
    backup: &Path,
    data: &Path,
    options: RestoreOptions,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    let occupied =
        || store::holds_database(data).map_or(Ok(()), |path| Err(RestoreError::Occupied(path)));
    occupied()?;
    if !backup.is_file() {
        let why = "there is no such file".to_owned();
        return Err(CopyError::NoBackup { path: backup.to_owned(), why }.into());
    }
    // The lock keeps servers from starting on the folder meanwhile.
    let folder = DataFolder::open(data)?;
    occupied()?;
    let copied = store::copy(backup, folder.path(), options, now)?;
    let recordings = Recordings::new(folder.recordings(), None);
    let has_manifest = |(job, uri): &(JobId, String)| recordings.has_manifest(*job, uri);
    // Recordings in a bucket are not checked.
    let on_disk: Vec<bool> = copied.manifests.iter().filter_map(has_manifest).collect();
    Ok(Restored {
        folder: folder.path().to_owned(),
        jobs: copied.jobs,
        running: copied.running,
        deliveries: copied.deliveries,
        recordings: on_disk.len(),
        missing: on_disk.iter().filter(|there| !**there).count(),
        paused: copied.paused,
    })
}

/// Makes a PostgreSQL database ready for its next server, after `pg_restore` has filled it. A database on which a server works is refused.
pub async fn make_ready(
    url: &StoreUrl,
    options: RestoreOptions,
) -> Result<RestoredDatabase, ReadyError> {
    url.check()?;
    store::make_ready(url, options).await
}
