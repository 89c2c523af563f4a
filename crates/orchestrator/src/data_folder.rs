//! The folder that holds everything: made, locked, and given up.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFolderError {
    /// Another server has it.
    #[error("the data folder {} is in use by another meetbot server; stop that one, or give --data-dir another folder", .0.display())]
    InUse(PathBuf),
    /// It cannot be made or written.
    #[error("the data folder {} cannot be used: {error}; make it writable, or give --data-dir another folder", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A data folder that is this process's own until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where there is none, for its owner's eyes only, and locks it.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
        make(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Where it is, from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the recordings lie.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.path.join("recordings")
    }
}

/// A data folder as it is found, without touching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundFolder {
    /// The user whose it is.
    pub owner: u32,
    /// Who may do what in it, as in 0o700.
    pub mode: u32,
    /// A server runs on it.
    pub in_use: bool,
}

impl FoundFolder {
    /// Looks at it; `None` where there is nothing.
    pub fn look(path: &Path) -> io::Result<Option<Self>> {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        if !found.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"));
        }
        let in_use = match File::open(path.join("lock")) {
            Ok(lock) => matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        Ok(Some(Self { owner: found.uid(), mode: found.mode() & 0o777, in_use }))
    }
}

/// Room on the disk that holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that this program may still write.
    pub free: u64,
}

impl Space {
    /// Of the disk that holds this path.
    pub fn at(path: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Self { total: bytes(disk.f_blocks), free: bytes(disk.f_bavail) })
    }
}

/// Makes the folder where there is none, without locking it: for what may happen while a server runs on it.
pub fn prepare(path: &Path) -> Result<(), DataFolderError> {
    make(path).map_err(|error| DataFolderError::Unusable { path: path.to_owned(), error })
}

/// Makes the folder with the rights 0700, whatever the umask. One that holds something already keeps its rights: it may be others' too.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() && !is_empty(path)? {
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others on this machine may look into the data folder: chmod 700 it");
        }
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Whether there is nothing in the folder but what a new disk brings.
fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_something_keeps_its_rights() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for (name, expected) in [("lost+found", 0o700), ("of others", 0o755)] {
            let path = parent.path().join(name);
            fs::create_dir_all(path.join(name)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            prepare(&path).unwrap();
            assert_eq!(mode(&path), expected, "{name}");
        }
    }

    #[test]
    fn a_folder_is_for_one_server_and_for_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/data");
        let folder = DataFolder::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::InUse(_))));
        let found = FoundFolder::look(&path).unwrap().unwrap();
        assert_eq!((found.mode, found.in_use), (0o700, true));
        drop(folder);
        assert!(!FoundFolder::look(&path).unwrap().unwrap().in_use);
        assert_eq!(FoundFolder::look(&parent.path().join("b")).unwrap(), None);
        assert!(DataFolder::open(&path).is_ok());
    }

    #[test]
    fn a_file_in_its_place_is_said_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be used") && error.contains("--data-dir"), "{error}");
    }
}
