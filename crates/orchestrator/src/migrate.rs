//! Copies the database of a data folder to PostgreSQL; the recordings stay in the folder.

use std::path::{Path, PathBuf};

use crate::{
    data_folder::{DataFolder, DataFolderError},
    store::{self, Found, OpenError, SqliteStore, Store as _, StoreError, StoreUrl, TakeOverError},
};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The absolute path of the data folder, which keeps the recordings.
    pub folder: PathBuf,
    /// The tables, each with its number of rows.
    pub rows: Vec<(&'static str, u64)>,
}

/// Why the migration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database's URL.
    #[error(transparent)]
    Url(#[from] OpenError),
    /// The folder has no database.
    #[error("there is no server's database in {}: give --data-dir the folder that `meetbot serve` works in", .0.display())]
    NoData(PathBuf),
    /// The database is of an older version, and a dry run must not upgrade it.
    #[error("the database in {} is an older meetbot's, and a dry run does not bring it up: start this program's server on it once, or leave --dry-run out", .0.display())]
    Older(PathBuf),
    /// The folder cannot be used, for example because a server runs on it.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// The folder's database cannot be used.
    #[error("the data folder's database: {0}")]
    Store(#[from] StoreError),
    /// The rows cannot be read, or PostgreSQL refuses them.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// Everything was copied, but the old database was not paused: a server on the folder would continue the same jobs.
    #[error(
        "all was taken over, but the data folder's own database could not be paused ({0}): start no server on it without --store"
    )]
    NotPaused(StoreError),
}

/// Copies the database of a data folder into an empty PostgreSQL database, while no server runs on the folder. Then the folder's database is paused, so that a server that is started
/// on it by mistake neither joins meetings nor sends webhooks. A dry run does the same and rolls it back.
pub async fn migrate(data: &Path, url: &StoreUrl, dry_run: bool) -> Result<Migrated, MigrateError> {
    url.check()?;
    match SqliteStore::check(data)? {
        Found::Nothing => return Err(MigrateError::NoData(data.to_owned())),
        Found::Older if dry_run => return Err(MigrateError::Older(data.to_owned())),
        Found::Older | Found::Newest => {}
    }
    // No server runs on the folder while this is held.
    let folder = DataFolder::open(data)?;
    let store = SqliteStore::open(folder.path())?;
    let rows = store::take_over(folder.path(), folder.node()?, url, dry_run).await;
    if rows.is_ok() && !dry_run {
        store.pause(store.now().wall).await.map_err(MigrateError::NotPaused)?;
    }
    store.close().await;
    Ok(Migrated { folder: folder.path().to_owned(), rows: rows? })
}
