//! Places for browsers, shared by all bots on one data folder: a locked file each. The kernel gives a place back when its process ends, however it ends, and a server
//! that is restarted finds those taken that bots of the server before still have.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

/// Before the number of a place, in the name of its file.
const PLACE: &str = "browser.";
/// The file that is locked by the bot whose turn it is.
const TURN: &str = "turn";
/// How often that bot looks for a place.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for one of `most` places. It is given back when the answer is dropped.
pub(super) async fn take(folder: &Path, most: usize) -> io::Result<File> {
    // One bot looks, and the others sleep until it has found a place.
    let turn = open(&folder.join(TURN))?;
    let _turn = tokio::task::spawn_blocking(move || turn.lock().map(|()| turn))
        .await
        .map_err(io::Error::other)??;
    loop {
        if let Some(place) = find(folder, most)? {
            return Ok(place);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A place, where fewer than `most` are taken. Those with high numbers count too: there may have been more places before.
fn find(folder: &Path, most: usize) -> io::Result<Option<File>> {
    let (mut free, mut taken, mut known) = (None, 0, Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PLACE)?.parse().ok());
        let Some(number): Option<usize> = number else { continue };
        known.push(number);
        if let Some(place) = locked(&entry.path())? {
            free.get_or_insert(place);
        } else {
            taken += 1;
        }
    }
    if taken >= most {
        return Ok(None);
    }
    if free.is_none() {
        let number = (0..known.len()).find(|number| !known.contains(number)).unwrap_or(known.len());
        free = locked(&folder.join(format!("{PLACE}{number}")))?;
    }
    Ok(free)
}

/// The file, locked; `None` where another process has it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn no_more_places_are_taken_than_there_are_and_one_that_is_given_back_is_taken_next() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path(), 2).await.unwrap();
        let _second = take(folder.path(), 2).await.unwrap();
        assert!(find(folder.path(), 2).unwrap().is_none());
        let mut third = Box::pin(take(folder.path(), 2));
        assert!(poll!(&mut third).is_pending());
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn bots_of_a_time_with_more_places_count_against_fewer() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(take(folder.path(), 3).await.unwrap());
        }
        // The first is free again, and there are still as many browsers as there may be.
        taken.remove(0);
        assert!(find(folder.path(), 2).unwrap().is_none());
        taken.remove(0);
        assert!(find(folder.path(), 2).unwrap().is_some());
    }
}
