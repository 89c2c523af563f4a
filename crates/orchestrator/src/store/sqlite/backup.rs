//! A copy of the database, made while a server works on it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{BUSY_TIMEOUT, FILE};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// How large it is.
    pub bytes: u64,
    /// How many jobs are in it.
    pub jobs: u64,
}

/// Why there is no backup. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The data folder holds no database.
    #[error("there is no database in {}; give the server's data folder with --data-dir", .0.display())]
    NoDatabase(PathBuf),
    /// Something has the backup's name.
    #[error("{} is there already, and a backup overwrites nothing; give it another name", .0.display())]
    Exists(PathBuf),
    /// An earlier backup was cut short, or another one is at work.
    #[error("{} is there: another backup is at work, or one was cut short; then remove it", .0.display())]
    Partial(PathBuf),
    /// The database cannot be read, or the backup not written.
    #[error("the database cannot be copied: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The copy is not whole.
    #[error("the copy is not whole, and was removed: {0}")]
    Broken(String),
    /// The file cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Copies the database of a data folder as it is at one moment, also while a server works on it, into a new file that only its owner can read. The file has its
/// name once it is whole, checked and on disk.
pub fn backup(data: &Path, file: &Path) -> Result<Backup, BackupError> {
    let database = data.join(FILE);
    if !database.is_file() {
        return Err(BackupError::NoDatabase(data.to_owned()));
    }
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let begun = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
    begun.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Partial(partial.clone()),
        _ => BackupError::Unwritable { path: partial.clone(), error },
    })?;
    let made = copy(&database, &partial).and_then(|backup| {
        name(&partial, file).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
            _ => BackupError::Unwritable { path: file.to_owned(), error },
        })?;
        Ok(backup)
    });
    if made.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&partial);
    }
    made
}

fn copy(database: &Path, partial: &Path) -> Result<Backup, BackupError> {
    // The schema is not migrated: the running server may be older than this program.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(database, flags)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    let Some(target) = partial.to_str() else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8");
        return Err(BackupError::Unwritable { path: partial.to_owned(), error });
    };
    // One read transaction, which holds no writer up; and what was deleted is not in the copy's free pages.
    source.execute("VACUUM INTO ?1", [target])?;
    let unwritable = |error| BackupError::Unwritable { path: partial.to_owned(), error };
    File::open(partial).and_then(|file| file.sync_all()).map_err(unwritable)?;
    let copy = Connection::open_with_flags(partial, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let check: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(BackupError::Broken(check));
    }
    let jobs = copy.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))?;
    drop(copy);
    let bytes = fs::metadata(partial).map_err(unwritable)?.len();
    Ok(Backup { bytes, jobs })
}

/// Gives the whole copy its name, which nothing else may have got meanwhile.
pub(super) fn name(partial: &Path, file: &Path) -> io::Result<()> {
    match renameat_with(CWD, partial, CWD, file, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS) if file.symlink_metadata().is_err() => {
            fs::rename(partial, file)?;
        }
        Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        renamed => renamed?,
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::SqliteStore, *};

    #[test]
    fn a_backup_is_readable_by_its_owner_only_and_overwrites_nothing() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("copy.db");
        assert!(matches!(backup(data.path(), &file), Err(BackupError::NoDatabase(_))));
        let store = SqliteStore::open(data.path()).unwrap();
        let made = backup(data.path(), &file).unwrap();
        let kept = fs::metadata(&file).unwrap();
        assert_eq!((made.jobs, made.bytes), (0, kept.len()));
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
        assert!(matches!(backup(data.path(), &file), Err(BackupError::Exists(_))));
        assert_eq!(fs::metadata(&file).unwrap().len(), kept.len());
        drop(store);
    }

    #[test]
    fn a_truncated_backup_is_reported_and_a_failed_one_leaves_no_file() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), b"this is no database, whatever its name says").unwrap();
        let file = data.path().join("copy.db");
        let partial = data.path().join("copy.db.partial");
        fs::write(&partial, b"half").unwrap();
        assert!(matches!(backup(data.path(), &file), Err(BackupError::Partial(_))));
        assert_eq!(fs::read(&partial).unwrap(), b"half");
        fs::remove_file(&partial).unwrap();
        assert!(matches!(backup(data.path(), &file), Err(BackupError::Sql(_))));
        assert!(!file.exists() && !partial.exists());
    }
}
