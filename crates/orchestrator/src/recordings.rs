//! Recordings on disk: where they lie, how many bytes they have, removed, and shown to be gone.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use meetbot_types::{Job, JobId, Manifest, RemovedObject};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    store::{Store, StoreError},
    under_way::UnderWay,
};

/// How often to look for recordings that are to be counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How many of them are looked up at once.
const BATCH: u32 = 200;

/// The folder of all recordings.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    pub(crate) folder: PathBuf,
    /// The mixes that are being made in it.
    pub(crate) mixes: Arc<UnderWay>,
}

impl Recordings {
    /// The folder of a job's manifest and of the files that it lists; `None` where the job has none.
    pub(crate) fn of(&self, job: &Job) -> Option<PathBuf> {
        let uri = Url::parse(job.manifest_uri.as_deref()?).ok()?;
        // The URI may lead there by another path: of a disk behind a link, or of where the data folder was before it was moved.
        let attempt = uri.to_file_path().ok()?.parent()?.file_name()?.to_owned();
        Some(self.of_job(job.id).join(attempt))
    }

    /// The folder of all that is stored of a job.
    pub(crate) fn of_job(&self, job: JobId) -> PathBuf {
        self.folder.join(job.to_string())
    }

    /// How many bytes all that is stored of a job has, as [`Recordings::remove`] would answer them; `None` where they cannot be counted.
    pub(crate) async fn bytes(&self, job: JobId) -> Option<u64> {
        let folder = self.of_job(job);
        let counted = tokio::task::spawn_blocking(move || bytes_in(&folder)).await;
        match counted.map_err(io::Error::other).flatten() {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::warn!(%job, %error, "the bytes of a recording cannot be counted; it is tried again");
                None
            }
        }
    }

    /// Removes all that is stored of a job, once a mix of it that is under way has ended; answers it, and what was named but gone already. Once this answers,
    /// nothing of it is there. The store has dropped the job's mix before, so that none begins meanwhile.
    pub(crate) async fn remove(&self, job: JobId) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
        self.mixes.end(job).await;
        let folder = self.of_job(job);
        let removed = tokio::task::spawn_blocking(move || remove_folder(&folder)).await;
        removed.map_err(io::Error::other)?
    }
}

/// Counts the bytes of all recordings once, since files may have come or gone while no server was there, and from then on those that are not known, until it is
/// stopped.
pub(crate) async fn count(store: Arc<dyn Store>, recordings: Recordings, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match count_once(store.as_ref(), &recordings, all, &stop).await {
            Ok(()) => all = false,
            Err(error) => {
                tracing::warn!(%error, "recordings cannot be looked up whose bytes are to be counted");
            }
        }
    }
}

async fn count_once(
    store: &dyn Store,
    recordings: &Recordings,
    all: bool,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let found = store.recordings_to_count(all, after, BATCH).await?;
        for (job, before) in &found {
            if stop.is_cancelled() {
                return Ok(());
            }
            match recordings.bytes(*job).await {
                Some(bytes) if *before != Some(bytes) => {
                    store.recording_counted(*job, *before, bytes).await?;
                }
                _ => {}
            }
        }
        after = found.last().map(|(job, _)| *job);
        if found.len() < BATCH as usize {
            return Ok(());
        }
    }
}

/// How many bytes the files in a folder have, and those in the folders in it.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for path in entries(folder)? {
        bytes += match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => bytes_in(&path)?,
            Ok(found) => found.len(),
            // It was renamed or removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

/// Removes a job's folder; answers what was in it, and what its manifests name besides.
fn remove_folder(folder: &Path) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
    let (mut removed, mut named) = (Vec::new(), BTreeSet::new());
    for attempt in entries(folder)? {
        let name = attempt.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Ok(text) = fs::read(attempt.join("manifest.json"))
            && let Ok(manifest) = serde_json::from_slice::<Manifest>(&text)
        {
            named.extend(manifest.files.into_iter().map(|file| format!("{name}/{}", file.name)));
        }
    }
    remove_all(folder, "", &mut removed)?;
    if folder.exists() {
        fs::remove_dir(folder)?;
        if let Some(parent) = folder.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
    }
    let gone = named.into_iter().filter(|name| removed.iter().all(|object| object.name != *name));
    let gone = gone.collect();
    Ok((removed, gone))
}

/// Empties a folder, of whatever is in it.
fn remove_all(folder: &Path, within: &str, removed: &mut Vec<RemovedObject>) -> io::Result<()> {
    // The manifest last: while it is there, a deletion that was cut short still knows what there was.
    let mut paths = entries(folder)?;
    paths.sort_by_key(|path| path.ends_with("manifest.json"));
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{within}{name}");
        let found = fs::symlink_metadata(&path)?;
        if found.is_dir() {
            remove_all(&path, &format!("{name}/"), removed)?;
            fs::remove_dir(&path)?;
        } else {
            fs::remove_file(&path)?;
            removed.push(RemovedObject { name, bytes: found.len() });
        }
    }
    Ok(())
}

/// What is in a folder, by name; nothing when it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = listed.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_somebody_put_beside_a_recording_goes_with_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("job");
        fs::create_dir_all(folder.join("1/of mine/deeper")).unwrap();
        for (file, bytes) in
            [(".DS_Store", 3), ("1/a.webm", 5), ("1/manifest.json", 2), ("1/of mine/deeper/x", 1)]
        {
            fs::write(folder.join(file), vec![0; bytes]).unwrap();
        }
        assert_eq!(bytes_in(&folder).unwrap(), 11);
        let (removed, gone) = remove_folder(&folder).unwrap();
        let removed: Vec<_> = removed.iter().map(|object| (&*object.name, object.bytes)).collect();
        assert_eq!(
            removed,
            [(".DS_Store", 3), ("1/a.webm", 5), ("1/of mine/deeper/x", 1), ("1/manifest.json", 2)]
        );
        assert!(gone.is_empty() && !folder.exists());
        assert!(remove_folder(&folder).unwrap().0.is_empty(), "a second time there is nothing");
        assert_eq!(bytes_in(&folder).unwrap(), 0);
    }
}
