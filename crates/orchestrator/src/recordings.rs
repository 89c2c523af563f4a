//! Recordings on disk: removed, and shown to be gone.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use meetbot_types::{JobId, Manifest, RemovedObject};

/// Removes all that is stored of a job in this folder of recordings; answers it, and what was named but gone already. Once this answers, nothing of it is there.
pub(crate) async fn remove(
    recordings: &Path,
    job: JobId,
) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
    let folder = recordings.join(job.to_string());
    tokio::task::spawn_blocking(move || remove_folder(&folder)).await.map_err(io::Error::other)?
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
        // The manifest last: while it is there, a deletion that was cut short still knows what there was.
        let mut files = entries(&attempt)?;
        files.sort_by_key(|file| file.ends_with("manifest.json"));
        for file in files {
            let bytes = fs::symlink_metadata(&file)?.len();
            fs::remove_file(&file)?;
            let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            removed.push(RemovedObject { name: format!("{name}/{file}"), bytes });
        }
        fs::remove_dir(&attempt)?;
    }
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
