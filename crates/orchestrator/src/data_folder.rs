//! Creates, locks and checks the data folder.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    accounts::ACCOUNTS,
    private::{self, ModeRepair, ReadableByOthers},
    store,
};

const LOCK: &str = "lock";
const RECORDINGS: &str = "recordings";
const BOTS: &str = "bots";
/// Recordings that a worker has fetched for their mixes.
const MIXES: &str = "mixes";

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFolderError {
    /// Another server has locked it.
    #[error("the data folder {} is in use by another meetbot server; stop that one, or give --data-dir another folder", .0.display())]
    InUse(PathBuf),
    /// It cannot be created or written.
    #[error("the data folder {} cannot be used: {error}; make it writable, or give --data-dir another folder", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Other users of the machine can read its files.
    #[error(transparent)]
    ReadableByOthers(#[from] ReadableByOthers),
}

/// A data folder that this process has locked, until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, and locks it. From then on only its owner can read it, whatever its mode was: a restored folder and
    /// recordings behind a symbolic link get stricter modes, or are refused.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
        prepare(path)?;
        let path = path.canonicalize().map_err(unusable)?;
        let lock = open_lock(&path, true).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataFolderError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let mut repair = ModeRepair::new();
        close_own_files(&path, &mut repair)?;
        let folder = Self { path, lock };
        repair.restrict_recordings(&folder.recordings())?;
        Ok(folder)
    }

    /// Checks an existing folder as [`open`](Self::open) does, without changing anything. Returns the paths that other users can read, which `open` would
    /// make private.
    pub fn check(path: &Path) -> Result<Vec<PathBuf>, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
        let mut repair = ModeRepair::dry_run();
        close_folder(path, &mut repair)?;
        let path = path.canonicalize().map_err(unusable)?;
        match open_lock(&path, false) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
            _ => {}
        }
        close_own_files(&path, &mut repair)?;
        Ok(repair.found())
    }

    /// The same of the recordings in it.
    pub fn check_recordings(path: &Path) -> Result<Vec<PathBuf>, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
        let mut repair = ModeRepair::dry_run();
        repair.restrict_recordings(&path.canonicalize().map_err(unusable)?.join(RECORDINGS))?;
        Ok(repair.found())
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A unique name of the data folder, which identifies this server among those on a database. It is stored in the lock file.
    pub(crate) fn node(&self) -> Result<String, DataFolderError> {
        let unusable = |error| DataFolderError::Unusable { path: self.path.clone(), error };
        let known = fs::read_to_string(self.path.join(LOCK)).map_err(unusable)?;
        if !known.is_empty() {
            return Ok(known);
        }
        let node = crate::letters::letters(20);
        (&self.lock).write_all(node.as_bytes()).map_err(unusable)?;
        Ok(node)
    }

    /// The folder of the recordings.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.path.join(RECORDINGS)
    }

    /// The folder of recordings that a worker has fetched for their mixes. They are not among its own, of which files are uploaded.
    pub(crate) fn mixes(&self) -> PathBuf {
        self.path.join(MIXES)
    }
}

/// The unique name of a data folder; `None` if no server has used it yet.
pub fn name_of(data_dir: &Path) -> Option<String> {
    fs::read_to_string(data_dir.join(LOCK)).ok().filter(|name| !name.is_empty())
}

/// The state of a data folder, read without changing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundFolder {
    /// The user id of its owner.
    pub owner: u32,
    /// Its mode, as in 0o700.
    pub mode: u32,
    /// Whether a server runs on it.
    pub in_use: bool,
}

impl FoundFolder {
    /// Reads its state; `None` if it does not exist.
    pub fn look(path: &Path) -> io::Result<Option<Self>> {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        if !found.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"));
        }
        let in_use = match File::open(path.join(LOCK)) {
            Ok(lock) => matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        Ok(Some(Self { owner: found.uid(), mode: found.mode() & 0o777, in_use }))
    }
}

/// The space on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that this program may still write.
    pub free: u64,
}

impl Space {
    /// The space on the disk of this path.
    pub fn at(path: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Self { total: bytes(disk.f_blocks), free: bytes(disk.f_bavail) })
    }
}

/// The folder for files that bots in separate processes share with the server on this data folder.
pub fn bots_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(BOTS)
}

/// Creates the folder if it does not exist, without locking it: for commands that may run beside a server.
pub fn prepare(path: &Path) -> Result<(), DataFolderError> {
    let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
    close_folder(path, &mut ModeRepair::new())
}

/// Makes the folder itself private, if it belongs to meetbot alone.
fn close_folder(path: &Path, repair: &mut ModeRepair) -> Result<(), DataFolderError> {
    let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
    let found = fs::metadata(path).map_err(unusable)?;
    if !private::is_open(&found) {
        return Ok(());
    }
    if !is_own(path, private::is_shared(&found)).map_err(unusable)? {
        return Err(ReadableByOthers::shared(path, "give --data-dir a folder of its own").into());
    }
    Ok(repair.close(path)?)
}

/// Makes the files in it private that the server created.
fn close_own_files(path: &Path, repair: &mut ModeRepair) -> Result<(), DataFolderError> {
    let unusable = |error| DataFolderError::Unusable { path: path.to_owned(), error };
    for entry in fs::read_dir(path).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        if is_own_file(&entry.file_name()) {
            repair.close(&entry.path())?;
        }
    }
    Ok(())
}

/// Opens the lock file.
fn open_lock(path: &Path, make: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(make).truncate(false).mode(0o600).open(path.join(LOCK))
}

/// Whether a folder belongs to meetbot alone: it has the database, or only files of the server and of a new file system. In a sticky folder (as `/tmp`) only the latter counts.
fn is_own(path: &Path, shared: bool) -> io::Result<bool> {
    if !shared && path.join(store::FILE).exists() {
        return Ok(true);
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !is_own_file(&name) && name != RECORDINGS && name != MIXES && name != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the server creates files of this name in its data folder, recordings aside.
fn is_own_file(name: &OsStr) -> bool {
    let of_database = |name: &str| {
        let after = name.strip_prefix(store::FILE);
        after.is_some_and(|after| matches!(after, "" | "-wal" | "-shm" | "-journal" | ".partial"))
    };
    name == LOCK || name == BOTS || name == ACCOUNTS || name.to_str().is_some_and(of_database)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_data_folder_has_a_unique_and_stable_name() {
        let parent = tempfile::tempdir().unwrap();
        let name =
            |folder: &str| DataFolder::open(&parent.path().join(folder)).unwrap().node().unwrap();
        let first = name("a");
        assert_eq!((first.len(), name("a")), (20, first.clone()));
        assert_ne!(name("b"), first);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_readable_folder_is_made_private_if_it_is_meetbots_and_refused_otherwise() {
        let parent = tempfile::tempdir().unwrap();
        for (number, (holds, before, after)) in [
            (&[][..], 0o755, Ok(0o700)),
            (&["lost+found"], 0o777, Ok(0o700)),
            (&["recordings", "lock"], 0o2750, Ok(0o2700)),
            (&["meetbot.db", "notes.txt"], 0o755, Ok(0o700)),
            (&["notes.txt"], 0o700, Ok(0o700)),
            (&["notes.txt"], 0o755, Err(0o755)),
            (&["meetbot.db.old"], 0o750, Err(0o750)),
            // A new tmpfs, and a `/tmp` that is used as data folder by mistake.
            (&[], 0o1777, Ok(0o1700)),
            (&["meetbot.db", "lost+found"], 0o1777, Ok(0o1700)),
            (&["meetbot.db", "notes.txt"], 0o1777, Err(0o1777)),
        ]
        .into_iter()
        .enumerate()
        {
            let path = parent.path().join(number.to_string());
            fs::create_dir(&path).unwrap();
            for name in holds {
                fs::write(path.join(name), b"").unwrap();
            }
            set(&path, before);
            let checked = DataFolder::check(&path).map_err(|error| error.to_string());
            assert_eq!(mode(&path), before, "looking changes nothing");
            let prepared = prepare(&path).map_err(|error| error.to_string());
            assert_eq!(prepared.is_ok(), after.is_ok(), "{holds:?} {before:o}: {prepared:?}");
            assert_eq!(mode(&path), after.unwrap_or_else(|mode| mode), "{holds:?} {before:o}");
            assert_eq!(checked.as_ref().err(), prepared.as_ref().err(), "{holds:?} {before:o}");
            if let Err(error) = prepared {
                assert!(error.contains("chmod 700") && error.contains("--data-dir"), "{error}");
            }
        }
    }

    #[test]
    fn a_restored_folder_and_its_files_are_made_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let attempt = path.join("recordings/job_01KAB1CDEFGHJKMNPQRSTVWXYZ/e1");
        fs::create_dir_all(&attempt).unwrap();
        let files = ["meetbot.db", "meetbot.db-wal", "lock"].map(|name| path.join(name));
        let files = files.into_iter().chain([attempt.join("manifest.json")]).collect::<Vec<_>>();
        for file in &files {
            fs::write(file, b"").unwrap();
            set(file, 0o664);
        }
        let folders = [&path, &path.join("recordings"), &attempt];
        for folder in folders {
            set(folder, 0o775);
        }
        let path_of = |path: &Path| path.canonicalize().unwrap();
        let own =
            ["", "lock", "meetbot.db", "meetbot.db-wal"].map(|name| path_of(&path.join(name)));
        assert_eq!(
            DataFolder::check(&path).unwrap().iter().map(|path| path_of(path)).collect::<Vec<_>>(),
            own
        );
        assert_eq!(DataFolder::check_recordings(&path).unwrap().len(), 4);
        let _folder = DataFolder::open(&path).unwrap();
        assert!(DataFolder::check(&path).unwrap().is_empty(), "also while it is locked");
        assert_eq!(folders.map(|folder| mode(folder)), [0o700; 3]);
        assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    }

    #[test]
    fn a_folder_is_locked_by_one_server_and_private_to_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/data");
        let folder = DataFolder::open(&path).unwrap();
        assert_eq!(mode(&path.join("lock")), 0o600);
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
    fn a_file_in_place_of_the_folder_is_reported() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be used") && error.contains("--data-dir"), "{error}");
    }
}
