//! The data folder: whose it is, who may read it and the recordings in it, whether it can be written, how much room there is, and its database.

use std::path::Path;

use meetbot_orchestrator::{
    FoundFolder, Space,
    store::{Found, SqliteStore},
};

use super::Finding;
use crate::folder::quoted;

const FOLDER: &str = "data folder";
const RECORDINGS: &str = "recordings";
const SPACE: &str = "disk space";
const DATABASE: &str = "database";
/// Below this, hours of meetings may fill the disk.
const LITTLE: u64 = 5 << 30;
/// Below this, a single one may.
const TOO_LITTLE: u64 = 256 << 20;

/// Looks at it; answers also whether a server runs on it.
pub(super) fn look(path: &Path) -> (bool, Vec<Finding>) {
    let mut findings = Vec::new();
    let (mut in_use, user) = (false, rustix::process::geteuid().as_raw());
    match FoundFolder::look(path) {
        Ok(Some(found)) => {
            in_use = found.in_use;
            findings.push(folder(path, found, user, can_write(path)));
            findings.push(recordings(&path.join("recordings"), user));
            findings.push(database(path));
        }
        Ok(None) => {
            let parent = existing(path);
            findings.push(if can_write(parent) {
                Finding::ok(FOLDER, format!("{} is made at the first start", path.display()))
            } else {
                let found = format!("{} cannot be made in {}", path.display(), parent.display());
                Finding::fail(FOLDER, found, "give --data-dir a folder that can be written")
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

/// Tries it, since rights alone do not say: disks can be mounted for reading only.
fn can_write(folder: &Path) -> bool {
    tempfile::tempfile_in(folder).is_ok()
}

fn folder(path: &Path, found: FoundFolder, user: u32, writable: bool) -> Finding {
    let place = path.display();
    if found.owner != user {
        let what = format!("{place} belongs to user {}, and you are {user}", found.owner);
        return Finding::fail(FOLDER, what, "run meetbot as the folder's owner, or chown it");
    }
    if !writable {
        let what = format!("{place} cannot be written");
        return Finding::fail(FOLDER, what, "make it writable: mode 0700, its disk not read-only");
    }
    if found.mode & 0o077 != 0 {
        let what = format!("{place} has mode {:04o}, and secrets lie in it", found.mode);
        return Finding::warn(FOLDER, what, "chmod 0700: it is for the server alone");
    }
    let server = if found.in_use { "a server runs on it" } else { "no server runs on it" };
    Finding::ok(FOLDER, format!("{place}, mode 0700, {server}"))
}

/// The folder of all recordings, which may be a link to another disk.
fn recordings(path: &Path, user: u32) -> Finding {
    let place = path.display();
    match FoundFolder::look(path) {
        Ok(Some(found)) if found.owner != user => {
            let what = format!("{place} belongs to user {}, and you are {user}", found.owner);
            Finding::fail(RECORDINGS, what, "chown it, with all that is in it")
        }
        Ok(Some(found)) if found.mode & 0o077 != 0 => {
            let what = format!("others can read {place}: it has mode {:04o}", found.mode);
            Finding::warn(RECORDINGS, what, "chmod 0700: the next start of a server does it too")
        }
        Ok(Some(found)) => Finding::ok(RECORDINGS, format!("{place}, mode {:04o}", found.mode)),
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

/// Whether a server on it starts nothing, as it was restored.
pub(super) async fn paused(path: &Path) -> Option<Finding> {
    // An older database is left as it is.
    if !matches!(SqliteStore::check(path), Ok(Found::Newest)) {
        return None;
    }
    let store = SqliteStore::open(path).ok()?;
    let since = store.paused_since().await.ok().flatten();
    store.close().await;
    let found = format!("paused since {}: no bots start and no webhooks are sent", since?);
    let remedy = format!("when it is to go on: meetbot unpause --data-dir {}", quoted(path));
    Some(Finding::warn(DATABASE, found, remedy))
}

fn database(path: &Path) -> Finding {
    match SqliteStore::check(path) {
        Ok(Found::Newest | Found::Older) => Finding::ok(DATABASE, "this program can work on it"),
        Ok(Found::Nothing) => Finding::ok(DATABASE, "it is made at the first start"),
        Err(error) => {
            let remedy = "if it is broken, restore a backup (docs/operations.md)";
            Finding::fail(DATABASE, error.to_string(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::{super::State, *};

    #[test]
    fn a_folder_is_its_owners_alone_and_writable() {
        let found = |owner, mode| FoundFolder { owner, mode, in_use: false };
        let state = |found, writable| folder(Path::new("data"), found, 7, writable).state;
        assert_eq!(state(found(7, 0o700), true), State::Ok);
        assert_eq!(state(found(7, 0o755), true), State::Warn);
        assert_eq!(state(found(7, 0o500), false), State::Fail);
        assert_eq!(state(found(0, 0o700), true), State::Fail);
    }

    #[test]
    fn recordings_that_others_can_read_warn_behind_a_link_too() {
        let parent = tempfile::tempdir().unwrap();
        let (disk, link) = (parent.path().join("disk"), parent.path().join("recordings"));
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(recordings(&link, user).state, State::Ok);
        symlink(&disk, &link).unwrap();
        assert_eq!(recordings(&link, user).state, State::Fail);
        std::fs::create_dir(&disk).unwrap();
        for (mode, state) in [(0o755, State::Warn), (0o710, State::Warn), (0o700, State::Ok)] {
            std::fs::set_permissions(&disk, Permissions::from_mode(mode)).unwrap();
            assert_eq!(recordings(&link, user).state, state, "{mode:o}");
        }
        assert_eq!(recordings(&link, user + 1).state, State::Fail);
    }

    #[test]
    fn little_room_warns_and_none_fails() {
        let state = |free| room(Space { total: 100 << 30, free }).state;
        assert_eq!(state(50 << 30), State::Ok);
        assert_eq!(state(LITTLE - 1), State::Warn);
        assert_eq!(state(TOO_LITTLE - 1), State::Fail);
    }

    #[test]
    fn what_is_not_there_yet_is_looked_for_above() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(existing(&parent.path().join("a/b/c")), parent.path());
        assert_eq!(existing(Path::new("no-such-folder")), Path::new("."));
    }
}
