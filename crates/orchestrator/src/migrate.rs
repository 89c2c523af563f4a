//! A data folder's database goes to PostgreSQL; its recordings stay.

use std::path::{Path, PathBuf};

use crate::{
    data_folder::{DataFolder, DataFolderError},
    store::{self, Found, OpenError, SqliteStore, Store as _, StoreError, StoreUrl, TakeOverError},
};

/// What was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The data folder, from the root: recordings stay in it.
    pub folder: PathBuf,
    /// The tables, and how many rows of each.
    pub rows: Vec<(&'static str, u64)>,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database's URL.
    #[error(transparent)]
    Url(#[from] OpenError),
    /// There is nothing to take over.
    #[error("there is no server's database in {}: give --data-dir the folder that `meetbot serve` works in", .0.display())]
    NoData(PathBuf),
    /// A look must not change it.
    #[error("the database in {} is an older meetbot's, and a dry run does not bring it up: start this program's server on it once, or leave --dry-run out", .0.display())]
    Older(PathBuf),
    /// The folder: a server runs on it, for one.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// The database in it.
    #[error("the data folder's database: {0}")]
    Store(#[from] StoreError),
    /// It cannot be read, or PostgreSQL does not take it.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// It was taken over, and a server on the folder would go on with the same jobs.
    #[error(
        "all was taken over, but the data folder's own database could not be paused ({0}): start no server on it without --store"
    )]
    NotPaused(StoreError),
}

/// Takes the database of a data folder on which no server runs over into an empty one of PostgreSQL. The folder's own is paused then, so that a server which is started
/// on it by mistake neither joins a meeting nor sends a webhook. A dry run does all of it and undoes it again.
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
