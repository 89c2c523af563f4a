//! The file of the open database. Writes to a file that was deleted, moved or replaced succeed, and are lost with it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// The path of an open database, and the device and inode that it had when it was opened.
pub(super) struct DatabaseFile {
    path: PathBuf,
    file: (u64, u64),
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

impl DatabaseFile {
    /// An existing file.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: file_at(path)? })
    }

    /// Checks that the path still names the same file, since writes to another file would be lost.
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
