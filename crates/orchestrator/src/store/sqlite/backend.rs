//! The database that the contract tests and the model run on.

use std::{path::Path, sync::Arc};

use super::{RestoreOptions, SqliteStore};
use crate::{clock::StoreNow, store::Store};

/// A data folder, with an empty store in it.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// In memory where there is such a place: nothing here is about a power cut.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: folder.unwrap() }
    }

    /// The store as a server has it that has just started, on the data of the one before.
    pub(crate) fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.folder.path()).unwrap())
    }

    /// Another one: a backup of this one, restored.
    pub(crate) fn restored(&self, options: RestoreOptions, now: StoreNow) -> Self {
        let backup = self.folder.path().join("copy.db");
        super::backup(self.folder.path(), &backup).unwrap();
        let restored = Self::new();
        super::copy(&backup, restored.folder.path(), options, now.wall).unwrap();
        restored
    }
}
