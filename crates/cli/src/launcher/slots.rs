//! Slots for browsers, shared by all bots of one data folder: each is a locked file. The kernel releases a slot when its process ends, and slots of
//! bots that outlive their server stay taken for the next one.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

/// The prefix of a slot's number in the name of its file.
const SLOT: &str = "browser.";
/// The file that the next bot in the queue has locked.
const TURN: &str = "turn";
/// How often that bot looks for a free slot.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for one of `most` slots. Dropping the returned file releases it.
pub(super) async fn acquire(folder: &Path, most: usize) -> io::Result<File> {
    // One bot polls for a slot; the others wait for its lock.
    let turn = open(&folder.join(TURN))?;
    let _turn = tokio::task::spawn_blocking(move || turn.lock().map(|()| turn))
        .await
        .map_err(io::Error::other)??;
    loop {
        if let Some(slot) = find(folder, most)? {
            return Ok(slot);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A slot, where fewer than `most` are taken. Slots with higher numbers count too: the limit may have been higher before.
fn find(folder: &Path, most: usize) -> io::Result<Option<File>> {
    let (mut free, mut taken, mut known) = (None, 0, Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(SLOT)?.parse().ok());
        let Some(number): Option<usize> = number else { continue };
        known.push(number);
        if let Some(slot) = locked(&entry.path())? {
            free.get_or_insert(slot);
        } else {
            taken += 1;
        }
    }
    if taken >= most {
        return Ok(None);
    }
    if free.is_none() {
        let number = (0..known.len()).find(|number| !known.contains(number)).unwrap_or(known.len());
        free = locked(&folder.join(format!("{SLOT}{number}")))?;
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
    async fn slots_are_limited_and_a_released_one_is_taken_next() {
        let folder = tempfile::tempdir().unwrap();
        let first = acquire(folder.path(), 2).await.unwrap();
        let _second = acquire(folder.path(), 2).await.unwrap();
        assert!(find(folder.path(), 2).unwrap().is_none());
        let mut third = Box::pin(acquire(folder.path(), 2));
        assert!(poll!(&mut third).is_pending());
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn bots_above_a_lowered_limit_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(acquire(folder.path(), 3).await.unwrap());
        }
        // The first is free again, and the two others reach the limit.
        taken.remove(0);
        assert!(find(folder.path(), 2).unwrap().is_none());
        taken.remove(0);
        assert!(find(folder.path(), 2).unwrap().is_some());
    }
}
