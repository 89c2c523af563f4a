//! The database that the contract tests and the model run on.

use std::{path::Path, sync::Arc};

use super::SqliteStore;
use crate::store::Store;

/// A store of its own, with nothing in it.
pub(crate) struct Backend {
    folder: tempfile::TempDir,
}

impl Backend {
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
}
