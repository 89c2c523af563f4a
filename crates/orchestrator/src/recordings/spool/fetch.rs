//! Fetches what other workers uploaded of earlier attempts at a job.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use meetbot_types::JobId;
use serde::{Deserialize, Serialize};

use super::{
    Spool, SpoolError,
    folder::{read_state, write_state},
    log,
};
use crate::recordings::{LOG, LOG_END, bucket::BucketError, of_job};

/// How much of an attempt is fetched. It is stored beside the attempt's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fetched {
    /// The name of the data folder of the worker that had the attempt.
    spool: String,
    /// The number of the next object.
    next: u64,
}

impl Spool {
    /// Whether another worker has uploaded something of this attempt, or of a later one.
    pub async fn has_begun_elsewhere(&self, job: JobId, epoch: u32) -> Result<bool, SpoolError> {
        let listed = self.bucket.list(&of_job(job, LOG)).await?;
        let found = logs(listed.iter().map(|object| object.name.as_str()));
        Ok(found.iter().any(|log| log.epoch >= epoch && log.spool != self.name))
    }

    /// Fetches what other workers uploaded of the attempts before this one, as far as it is not here yet.
    pub async fn fetch(&self, job: JobId, before: u32) -> Result<(), SpoolError> {
        let lock = self.lock(job);
        let _one_at_a_time = lock.lock().await;
        let prefix = of_job(job, LOG);
        let listed = self.bucket.list(&prefix).await?;
        let found = logs(listed.iter().map(|object| object.name.as_str()));
        for Log { epoch, spool, numbers, .. } in found {
            let is_own = spool == self.name
                || self.of_attempt(job, epoch).exists() && !self.is_fetched(job, epoch);
            if epoch >= before || is_own {
                continue;
            }
            let state = self.state_file(job, epoch, "fetched");
            let known = read_state::<Fetched>(&state).map_err(BucketError::Disk)?;
            let mut fetched = known.unwrap_or_else(|| Fetched { spool: spool.to_owned(), next: 0 });
            if fetched.spool != spool {
                continue;
            }
            let folder = self.of_attempt(job, epoch);
            while numbers.contains(&fetched.next) {
                let name = format!("{prefix}/{epoch}.{spool}/{:08}", fetched.next);
                let (object, _) = self.bucket.get(&name).await?;
                fetched.next += 1;
                let (folder, state, after) = (folder.clone(), state.clone(), fetched.clone());
                let applied = tokio::task::spawn_blocking(move || {
                    // The state first, so that the folder is never taken for this worker's own; an object that is applied twice changes nothing.
                    make(folder.parent().unwrap_or(&folder))?;
                    write_state(&state, &Fetched { next: after.next - 1, ..after.clone() })?;
                    make(&folder)?;
                    apply(&folder, &object)?;
                    write_state(&state, &after)
                });
                applied.await.map_err(io::Error::other).flatten().map_err(BucketError::Disk)?;
            }
        }
        Ok(())
    }
}

/// What a worker has uploaded of an attempt.
#[derive(Debug, PartialEq, Eq)]
struct Log<'a> {
    epoch: u32,
    /// The name of the worker's data folder.
    spool: &'a str,
    /// The numbers of the objects.
    numbers: Vec<u64>,
    /// The attempt has finished the recording, and all of it is there.
    is_whole: bool,
}

/// The logs with objects of these names, by their attempts. Of two workers that have had the same attempt, because the database had forgotten the first claim, the
/// log that is whole comes first, or else the longer one.
fn logs<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Log<'a>> {
    let mut found: BTreeMap<(u32, &str), (Vec<u64>, bool)> = BTreeMap::new();
    for name in names {
        if let Some((attempt, object)) = name.split_once('/')
            && let Some((epoch, spool)) = attempt.split_once('.')
            && let Ok(epoch) = epoch.parse()
        {
            let (numbers, is_whole) = found.entry((epoch, spool)).or_default();
            numbers.extend(object.parse::<u64>());
            *is_whole |= object == LOG_END;
        }
    }
    let logs = found.into_iter().filter(|(_, (numbers, _))| !numbers.is_empty());
    let mut logs: Vec<Log<'_>> = logs
        .map(|((epoch, spool), (numbers, is_whole))| Log { epoch, spool, numbers, is_whole })
        .collect();
    logs.sort_by_key(|log| (log.epoch, !log.is_whole, Reverse(log.numbers.len())));
    logs
}

/// Makes a folder that only its owner can enter.
fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes the pieces of an object into the files of a folder. Each piece ends where its file ended.
pub(super) fn apply(folder: &Path, object: &[u8]) -> io::Result<()> {
    for (piece, content) in log::read(object)? {
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(false).mode(0o600);
        let file = open.open(folder.join(&piece.name))?;
        file.write_all_at(content, piece.offset)?;
        file.set_len(piece.offset + piece.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_sorted_by_attempt_and_worker_and_whole_logs_come_first() {
        let log = |epoch, spool, numbers: &[u64], is_whole| Log {
            epoch,
            spool,
            numbers: numbers.to_vec(),
            is_whole,
        };
        let names = ["1.abc/00000000", "1.abc/00000001", "12.de/00000000", "nothing", "x.y/z"];
        let expected = [log(1, "abc", &[0, 1], false), log(12, "de", &[0], false)];
        assert_eq!(logs(names.into_iter()), expected);
        let names = ["1.a/0", "1.b/0", "1.b/1", "1.c/0", "1.c/end", "1.d/end"];
        let found: Vec<_> = logs(names.into_iter()).into_iter().map(|log| log.spool).collect();
        assert_eq!(found, ["c", "b", "a"]);
    }
}
