//! Keeps the data folder private to its owner. The server creates files with strict modes; files that were restored, created by hand or are behind a link get strict
//! modes at the start.

use std::{
    ffi::OsStr,
    fs::{self, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use meetbot_types::JobId;
use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    io::Errno,
    process::geteuid,
};

/// The permission bits of group and others.
const OTHERS: u32 = 0o077;
/// The sticky bit, as of `/tmp` and a new tmpfs, in which every user may create files.
const STICKY: u32 = 0o1000;

/// A path is readable by other users, and its mode cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("others on this machine can read {}: {why}", path.display())]
pub struct ReadableByOthers {
    path: PathBuf,
    why: String,
}

impl ReadableByOthers {
    fn new(path: &Path, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into() }
    }

    /// For a path on a file system without modes, such as FAT.
    pub fn without_modes(path: &Path) -> Self {
        Self::new(
            path,
            "its file system keeps no modes; mount it with umask=077, or use another one",
        )
    }

    /// For a folder that does not belong to meetbot alone.
    pub(crate) fn shared(path: &Path, instead: &str) -> Self {
        let path_shown = path.display();
        Self::new(
            path,
            format!(
                "it holds other things than meetbot's, so its mode stays as it is; `chmod 700 {path_shown}`, or {instead}"
            ),
        )
    }
}

/// Whether users other than the owner have any permission.
pub(crate) fn is_open(found: &Metadata) -> bool {
    found.mode() & OTHERS != 0
}

/// Whether every user may create files there.
pub(crate) fn is_shared(found: &Metadata) -> bool {
    found.mode() & STICKY != 0
}

/// Removes permissions of other users from files and folders, or only lists the paths that have some: `meetbot doctor` reports what a start would change or refuse.
#[derive(Debug)]
pub(crate) struct ModeRepair {
    changes: bool,
    open: Vec<PathBuf>,
}

impl ModeRepair {
    /// Changes the modes.
    pub(crate) const fn new() -> Self {
        Self { changes: true, open: Vec::new() }
    }

    /// Changes nothing.
    pub(crate) const fn dry_run() -> Self {
        Self { changes: false, open: Vec::new() }
    }

    /// The paths that other users could read, the outermost first.
    pub(crate) fn found(mut self) -> Vec<PathBuf> {
        self.open.sort();
        self.open
    }

    /// Makes a file or a folder private, and checks that the mode was applied.
    pub(crate) fn close(&mut self, path: &Path) -> Result<(), ReadableByOthers> {
        let looked =
            || fs::metadata(path).map_err(|error| ReadableByOthers::new(path, error.to_string()));
        let found = looked()?;
        if !is_open(&found) {
            return Ok(());
        }
        self.restrict_mode(path, &found)?;
        if self.changes && is_open(&looked()?) {
            return Err(ReadableByOthers::without_modes(path));
        }
        Ok(())
    }

    fn restrict_mode(&mut self, path: &Path, found: &Metadata) -> Result<(), ReadableByOthers> {
        let changed = if self.changes {
            let mode = found.mode() & 0o7777 & !OTHERS;
            fs::set_permissions(path, Permissions::from_mode(mode))
        } else {
            self.open.push(path.to_owned());
            may_change(path, found)
        };
        changed.map_err(|error| {
            let (owner, user) = (found.uid(), geteuid().as_raw());
            let whose = if owner == user {
                String::new()
            } else {
                format!(" (it belongs to user {owner}, and this is user {user}: chown it)")
            };
            ReadableByOthers::new(path, format!("its mode cannot be changed: {error}{whose}"))
        })
    }

    /// Makes the folder of all recordings private with all that is in it; a folder that is private already is not searched. A folder behind a link,
    /// or with the sticky bit, must contain nothing but recordings.
    pub(crate) fn restrict_recordings(&mut self, folder: &Path) -> Result<(), ReadableByOthers> {
        let unreadable = |error: io::Error| ReadableByOthers::new(folder, error.to_string());
        let found = match fs::metadata(folder) {
            // Before the first recording, or while its disk is not mounted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(unreadable)?,
        };
        if !found.is_dir() || !is_open(&found) {
            return Ok(());
        }
        let names = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let names = names.map_err(unreadable)?;
        let linked = fs::symlink_metadata(folder).map_err(unreadable)?.is_symlink();
        let is_foreign = |name: &OsStr| !is_job(name) && name != "lost+found";
        let holds_others = || names.iter().any(|entry| is_foreign(&entry.file_name()));
        if (linked || is_shared(&found)) && holds_others() {
            return Err(ReadableByOthers::shared(
                folder,
                "give the recordings a folder of their own",
            ));
        }
        if self.changes {
            tracing::warn!(path = %folder.display(), "other users of this machine could read the recordings; they are made private now");
        }
        for entry in names {
            if entry.file_name() != "lost+found" {
                self.restrict_all(&entry.path())?;
            }
        }
        // The folder itself last, so that an interrupted start searches it again.
        self.close(folder)
    }

    /// Makes a path and everything in it private, without following links.
    fn restrict_all(&mut self, path: &Path) -> Result<(), ReadableByOthers> {
        let unreadable = |error: io::Error| ReadableByOthers::new(path, error.to_string());
        let found = fs::symlink_metadata(path).map_err(unreadable)?;
        if found.is_symlink() {
            return Ok(());
        }
        if is_open(&found) {
            self.restrict_mode(path, &found)?;
        }
        if found.is_dir() {
            for entry in fs::read_dir(path).map_err(unreadable)? {
                self.restrict_all(&entry.map_err(unreadable)?.path())?;
            }
        }
        Ok(())
    }
}

/// Whether `chmod` would be refused (chmod(2), `EPERM` and `EROFS`).
fn may_change(path: &Path, found: &Metadata) -> io::Result<()> {
    let user = geteuid();
    if !user.is_root() && user.as_raw() != found.uid() {
        return Err(Errno::PERM.into());
    }
    if statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Errno::ROFS.into());
    }
    Ok(())
}

fn is_job(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.parse::<JobId>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const JOB: &str = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ";

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn close(recordings: &Path) -> Result<(), ReadableByOthers> {
        ModeRepair::new().restrict_recordings(recordings)
    }

    fn look(recordings: &Path) -> Result<Vec<PathBuf>, String> {
        let mut repair = ModeRepair::dry_run();
        let looked = repair.restrict_recordings(recordings);
        looked.map(|()| repair.found()).map_err(|error| error.to_string())
    }

    /// Creates a job's recording in this folder with the modes that `cp -r` gives.
    fn restored(folder: &Path) -> [PathBuf; 4] {
        let [job, attempt] = [folder.join(JOB), folder.join(JOB).join("e1")];
        fs::create_dir_all(&attempt).unwrap();
        let file = attempt.join("audio.Ann.webm");
        fs::write(&file, b"sound").unwrap();
        set(&file, 0o644);
        for folder in [&attempt, &job, &folder.to_owned()] {
            set(folder, 0o2755);
        }
        [folder.to_owned(), job, attempt, file]
    }

    #[test]
    fn readable_recordings_are_made_private_behind_a_link_too() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = parent.path().join("elsewhere");
        let link = parent.path().join("recordings");
        let [folder, job, attempt, file] = restored(&elsewhere);
        // The target of a link within the folder is not changed.
        let theirs = parent.path().join("theirs");
        fs::write(&theirs, b"").unwrap();
        set(&theirs, 0o644);
        symlink(&theirs, attempt.join("link")).unwrap();
        symlink(&elsewhere, &link).unwrap();
        let behind_link = |path: &Path| link.join(path.strip_prefix(&elsewhere).unwrap());
        let open = [&job, &attempt, &file].map(|path| behind_link(path));
        assert_eq!(look(&link).unwrap(), [&[link.clone()][..], &open].concat());
        assert_eq!((mode(&folder), mode(&file)), (0o2755, 0o644), "looking changes nothing");
        close(&link).unwrap();
        assert_eq!([folder, job, attempt].map(|path| mode(&path)), [0o2700; 3]);
        assert_eq!((mode(&file), mode(&theirs)), (0o600, 0o644));
        close(&link).unwrap();
        assert!(look(&link).unwrap().is_empty());
    }

    #[test]
    fn a_link_to_a_folder_with_other_files_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let (shared, link) = (parent.path().join("shared"), parent.path().join("recordings"));
        restored(&shared);
        fs::write(shared.join("photos"), b"").unwrap();
        symlink(&shared, &link).unwrap();
        let error = close(&link).unwrap_err().to_string();
        assert!(error.contains("chmod 700") && error.contains("recordings"), "{error}");
        assert_eq!(mode(&shared), 0o2755, "it is as it was");
        assert_eq!(look(&link).unwrap_err(), error);
        // A private folder is not searched.
        set(&shared, 0o700);
        close(&link).unwrap();
    }

    #[test]
    fn a_new_disk_for_the_recordings_is_made_private_despite_the_sticky_bit() {
        let parent = tempfile::tempdir().unwrap();
        let mounted = parent.path().join("recordings");
        restored(&mounted);
        fs::create_dir(mounted.join("lost+found")).unwrap();
        set(&mounted, 0o1777);
        close(&mounted).unwrap();
        assert_eq!(mode(&mounted), 0o1700);
        fs::write(mounted.join("somebody's"), b"").unwrap();
        set(&mounted, 0o1777);
        close(&mounted).unwrap_err();
    }

    #[test]
    fn a_missing_folder_is_no_error() {
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("recordings");
        close(&link).unwrap();
        symlink(parent.path().join("a disk that is not there"), &link).unwrap();
        close(&link).unwrap();
    }
}
