//! Recordings on the disk of this machine.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use meetbot_types::{JobId, Manifest, RemovedObject, bot::EVIDENCE_FOLDER};

use super::MANIFEST;

/// How many bytes the files in a folder have, and those in the folders in it.
pub(super) fn bytes_in(folder: &Path) -> io::Result<u64> {
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
pub(super) fn remove_folder(folder: &Path) -> io::Result<(Vec<RemovedObject>, Vec<String>)> {
    let (mut removed, mut named) = (Vec::new(), BTreeSet::new());
    for attempt in entries(folder)? {
        let name = attempt.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Ok(text) = fs::read(attempt.join(MANIFEST))
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

/// Removes all contents of a folder.
fn remove_all(folder: &Path, within: &str, removed: &mut Vec<RemovedObject>) -> io::Result<()> {
    // The manifest last: an interrupted deletion reads it again to list the files.
    let mut paths = entries(folder)?;
    paths.sort_by_key(|path| path.ends_with(MANIFEST));
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

/// Removes from a job's folder what attempts left; evidence of joins that failed stays.
pub(super) fn remove_attempts(folder: &Path) -> io::Result<()> {
    let mut removed = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| !path.ends_with(EVIDENCE_FOLDER)) {
        remove_all(&path, "", &mut removed)?;
        fs::remove_dir(&path)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The jobs that have a folder in the folder of all recordings.
pub(super) fn jobs(folder: &Path) -> io::Result<Vec<JobId>> {
    let name = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    Ok(entries(folder)?.iter().filter_map(name).collect())
}

/// What is in a folder, by name; nothing when it is not there.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
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
    fn other_files_in_a_recordings_folder_are_removed_with_it() {
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

    #[test]
    fn evidence_of_failed_joins_is_kept_when_the_attempts_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("job");
        for path in ["e1/a.webm", "e2/manifest.json", "evidence/a.png"] {
            fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            fs::write(folder.join(path), "x").unwrap();
        }
        remove_attempts(&folder).unwrap();
        assert_eq!(entries(&folder).unwrap(), [folder.join(EVIDENCE_FOLDER)]);
        fs::remove_dir_all(folder.join(EVIDENCE_FOLDER)).unwrap();
        remove_attempts(&folder).unwrap();
        assert!(!folder.exists());
        remove_attempts(&folder).unwrap();
    }
}
