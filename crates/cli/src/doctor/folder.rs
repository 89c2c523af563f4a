//! The data folder: whose it is, who may read it and the recordings in it, whether it can be written, and how much room there is.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use meetbot_orchestrator::{DataFolder, DataFolderError, FoundFolder, ReadableByOthers, Space};

use super::Finding;

const FOLDER: &str = "data folder";
const RECORDINGS: &str = "recordings";
const SPACE: &str = "disk space";
/// Below this, hours of meetings may fill the disk.
const LITTLE: u64 = 5 << 30;
/// Below this, a single one may.
const TOO_LITTLE: u64 = 256 << 20;

/// Checks the folder; returns also whether a server runs on it.
pub(super) fn look(path: &Path) -> (bool, Vec<Finding>) {
    let mut findings = Vec::new();
    let (mut in_use, user) = (false, rustix::process::geteuid().as_raw());
    match FoundFolder::look(path) {
        Ok(Some(found)) => {
            in_use = found.in_use;
            let checked = try_to_write(path, path).and_then(|()| DataFolder::check(path));
            findings.push(folder(path, found, user, checked));
            findings.push(recordings(path, user));
        }
        Ok(None) => {
            findings.push(match try_to_write(existing(path), path) {
                Ok(()) => {
                    Finding::ok(FOLDER, format!("{} is made at the first start", path.display()))
                }
                Err(error) => refused(FOLDER, &error),
            });
        }
        Err(error) => {
            let found = format!("{} cannot be looked at: {error}", path.display());
            findings.push(Finding::fail(FOLDER, found, "give --data-dir another folder"));
        }
    }
    findings.push(match Space::at(existing(path)) {
        Ok(space) => room(space),
        Err(error) => {
            let remedy = "look at the disk with `df`";
            Finding::warn(SPACE, format!("it cannot be asked: {error}"), remedy)
        }
    });
    (in_use, findings)
}

/// The folder itself, or the nearest one above it that is there.
fn existing(path: &Path) -> &Path {
    let nearest = path.ancestors().find(|path| path.exists());
    nearest.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks it by writing, since the mode does not suffice: disks can be mounted read-only, and some file systems have no modes.
/// `data`: the data folder, which may have to be made in it.
fn try_to_write(folder: &Path, data: &Path) -> Result<(), DataFolderError> {
    let unusable = |error: io::Error| DataFolderError::Unusable { path: data.to_owned(), error };
    // Made for its owner alone.
    let file = tempfile::NamedTempFile::new_in(folder).map_err(unusable)?;
    if file.as_file().metadata().map_err(unusable)?.mode() & 0o077 != 0 {
        return Err(ReadableByOthers::without_modes(folder).into());
    }
    Ok(())
}

/// A finding in the server's own words.
fn refused(check: &'static str, error: &DataFolderError) -> Finding {
    Finding::fail(check, error.to_string(), "mend it first: no server starts like this")
}

/// `checked`: what others can read, or why a server refuses the folder.
fn folder(
    path: &Path,
    found: FoundFolder,
    user: u32,
    checked: Result<Vec<PathBuf>, DataFolderError>,
) -> Finding {
    let place = path.display();
    if found.owner != user {
        let what = format!("{place} belongs to user {}, and you are {user}", found.owner);
        return Finding::fail(FOLDER, what, "run meetbot as the folder's owner, or chown it");
    }
    match checked {
        Err(error) => refused(FOLDER, &error),
        Ok(open) if !open.is_empty() => readable(FOLDER, &open),
        Ok(_) => {
            let server = if found.in_use { "a server runs on it" } else { "no server runs on it" };
            Finding::ok(FOLDER, format!("{place}, mode {:04o}, {server}", found.mode))
        }
    }
}

/// What others can read.
fn readable(check: &'static str, open: &[PathBuf]) -> Finding {
    let first = open.first().map(|path| path.display().to_string()).unwrap_or_default();
    let what = match open.len() {
        1 => format!("others on this machine can read {first}"),
        all => format!("others on this machine can read {first} and {} more", all - 1),
    };
    Finding::warn(check, what, "chmod go= them; the next start of a server does it too")
}

/// The folder of all recordings, which may be a link to another disk.
fn recordings(data: &Path, user: u32) -> Finding {
    let path = &data.join("recordings");
    let place = path.display();
    match FoundFolder::look(path) {
        Ok(Some(found)) if found.owner != user => {
            let what = format!("{place} belongs to user {}, and you are {user}", found.owner);
            Finding::fail(RECORDINGS, what, "chown it, with all that is in it")
        }
        Ok(Some(found)) => {
            let checked = DataFolder::check_recordings(data)
                .and_then(|open| try_to_write(path, path).map(|()| open));
            match checked {
                Err(DataFolderError::Unusable { error, .. }) => {
                    let what = format!("{place} cannot be written: {error}");
                    let remedy = "make it writable: mode 0700, its disk not read-only";
                    Finding::fail(RECORDINGS, what, remedy)
                }
                Err(error) => refused(RECORDINGS, &error),
                Ok(open) if !open.is_empty() => readable(RECORDINGS, &open),
                Ok(_) => Finding::ok(RECORDINGS, format!("{place}, mode {:04o}", found.mode)),
            }
        }
        Ok(None) if path.is_symlink() => {
            let what = format!("{place} is a link that leads nowhere");
            Finding::fail(RECORDINGS, what, "mount the disk that it leads to, or remove the link")
        }
        Ok(None) => Finding::ok(RECORDINGS, "their folder is made with the first"),
        Err(error) => {
            let what = format!("{place} cannot be looked at: {error}");
            Finding::fail(RECORDINGS, what, "make it a folder of the server's user")
        }
    }
}

fn room(space: Space) -> Finding {
    let found =
        format!("{:.1} of {:.1} GB are free", gigabytes(space.free), gigabytes(space.total));
    let remedy = "make room, as with `meetbot jobs delete-recording`, or set recordings.keep_days";
    match space.free {
        ..TOO_LITTLE => Finding::fail(SPACE, found, remedy),
        TOO_LITTLE..LITTLE => Finding::warn(SPACE, found, remedy),
        _ => Finding::ok(SPACE, found),
    }
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::{super::State, *};

    #[test]
    fn a_folder_must_be_private_and_writable() {
        let path = Path::new("data");
        let found = |owner| FoundFolder { owner, mode: 0o700, in_use: false };
        let state = |owner, checked| folder(path, found(owner), 7, checked).state;
        assert_eq!(state(7, Ok(Vec::new())), State::Ok);
        assert_eq!(state(7, Ok(vec![path.to_owned()])), State::Warn);
        assert_eq!(state(7, Err(ReadableByOthers::without_modes(path).into())), State::Fail);
        assert_eq!(state(0, Ok(Vec::new())), State::Fail);
    }

    #[test]
    fn recordings_that_others_can_read_warn_behind_a_link_too() {
        let data = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (disk, link) = (elsewhere.path().join("disk"), data.path().join("recordings"));
        let user = rustix::process::geteuid().as_raw();
        let state = || recordings(data.path(), user);
        assert_eq!(state().state, State::Ok, "{:?}", state());
        symlink(&disk, &link).unwrap();
        assert_eq!(state().state, State::Fail, "{:?}", state());
        std::fs::create_dir(&disk).unwrap();
        let set = |mode| std::fs::set_permissions(&disk, Permissions::from_mode(mode)).unwrap();
        for (mode, expected) in [(0o755, State::Warn), (0o710, State::Warn), (0o700, State::Ok)] {
            set(mode);
            assert_eq!(state().state, expected, "{mode:o} {:?}", state());
        }
        assert_eq!(recordings(data.path(), user + 1).state, State::Fail);
        // A server leaves the mode of a folder that it shares as it is, and does not start.
        std::fs::write(disk.join("photos"), b"").unwrap();
        assert_eq!(state().state, State::Ok, "{:?}", state());
        set(0o755);
        assert_eq!(state().state, State::Fail, "{:?}", state());
    }

    #[test]
    fn little_space_warns_and_none_fails() {
        let state = |free| room(Space { total: 100 << 30, free }).state;
        assert_eq!(state(50 << 30), State::Ok);
        assert_eq!(state(LITTLE - 1), State::Warn);
        assert_eq!(state(TOO_LITTLE - 1), State::Fail);
    }

    #[test]
    fn a_missing_folder_is_checked_by_its_parent() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(existing(&parent.path().join("a/b/c")), parent.path());
        assert_eq!(existing(Path::new("no-such-folder")), Path::new("."));
    }
}
