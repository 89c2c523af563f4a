//! Where the database lies. A file that was deleted, moved or replaced takes writes without a word, and they are lost with it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// The place of an open database, and which file was there when it was opened.
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Place {
    /// The place of a file that is there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: file_at(path)? })
    }

    /// Whether the file is still there: what is not must not be written, for nobody would find it again.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        match file_at(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            Ok(_) => Err(StoreError::Unavailable(format!(
                "{path} was replaced under the running server; restart it to use the new file"
            ))),
            Err(error) => Err(StoreError::Unavailable(format!(
                "{path} was deleted or moved under the running server: {error}; bring it back, or restart the server"
            ))),
        }
    }
}
