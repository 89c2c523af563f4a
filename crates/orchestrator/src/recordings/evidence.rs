//! Evidence of failed joins: small files in the job's folder, which no manifest lists. Workers on other machines upload theirs when the job has ended.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use meetbot_types::{JobId, bot::EVIDENCE_FOLDER, manifest::File, signature::sha256};

use super::{
    Recordings,
    bucket::{Bucket, BucketError, Listed},
    local::entries,
    of_job,
};

/// How many letters a SHA-256 has.
const HASH_LETTERS: usize = 64;

/// A file in the bucket.
pub(crate) struct StoredObject {
    pub(crate) file: File,
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) key: String,
}

impl Recordings {
    /// The files that are kept on this disk of a job's joins that failed.
    pub(crate) async fn evidence_on_disk(&self, job: JobId) -> io::Result<Vec<File>> {
        files_of(self.of_job(job).join(EVIDENCE_FOLDER)).await
    }

    /// Where one of them lies.
    pub(crate) fn evidence_file(&self, job: JobId, name: &str) -> PathBuf {
        self.of_job(job).join(EVIDENCE_FOLDER).join(name)
    }

    /// The files that workers have uploaded.
    pub(crate) async fn evidence_in_bucket(&self, job: JobId) -> io::Result<Vec<StoredObject>> {
        let Some(bucket) = &self.bucket else { return Ok(Vec::new()) };
        let folder = of_job(job, EVIDENCE_FOLDER);
        let stored = |object: Listed| {
            let file = listed(&object.name, object.bytes)?;
            let key = format!("{folder}/{}", object.name);
            Some(StoredObject { file, bucket: Arc::clone(bucket), key })
        };
        Ok(bucket.list(&folder).await?.into_iter().filter_map(stored).collect())
    }
}

/// Puts a worker's evidence of a job into the bucket. The hash is in the object's name, so that a list of the objects has all about the files.
pub(super) async fn put(bucket: &Bucket, job: JobId, folder: &Path) -> Result<(), BucketError> {
    let folder = folder.join(EVIDENCE_FOLDER);
    for File { name, media_type, sha256, .. } in files_of(folder.clone()).await? {
        let key = of_job(job, &format!("{EVIDENCE_FOLDER}/{sha256}/{name}"));
        let content = tokio::fs::read(folder.join(name)).await?;
        match bucket.put_new(&key, content, &media_type).await {
            Ok(()) | Err(BucketError::Exists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The file of an object with this name below the folder of a job's evidence; `None` where a worker did not put it there.
fn listed(name: &str, bytes: u64) -> Option<File> {
    let (sha256, name) = name.split_once('/')?;
    let is_hash = sha256.len() == HASH_LETTERS && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    let media_type = media_type(Path::new(name)).filter(|_| is_hash && !name.contains('/'))?;
    Some(File {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
    })
}

/// The media type of a file; `None` while it is being written.
fn media_type(path: &Path) -> Option<&'static str> {
    match path.extension().and_then(OsStr::to_str) {
        Some("json") => Some("application/json"),
        Some("png") => Some("image/png"),
        _ => None,
    }
}

async fn files_of(folder: PathBuf) -> io::Result<Vec<File>> {
    let found = tokio::task::spawn_blocking(move || files_in(&folder)).await;
    found.map_err(io::Error::other)?
}

fn files_in(folder: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        let Some(media_type) = media_type(&path) else { continue };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        files.push(File {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            media_type: media_type.to_owned(),
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_being_written_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(files_in(&folder.path().join("evidence")).unwrap().is_empty(), "there is none");
        for (name, bytes) in [("b.png", 3), ("a.json", 2), ("c.part", 1)] {
            fs::write(folder.path().join(name), vec![0; bytes]).unwrap();
        }
        let files = files_in(folder.path()).unwrap();
        let listed = files.iter().map(|file| (&*file.name, &*file.media_type, file.bytes));
        assert_eq!(
            listed.collect::<Vec<_>>(),
            [("a.json", "application/json", 2), ("b.png", "image/png", 3)]
        );
        assert_eq!(files[0].sha256, sha256(&[0, 0]));
    }

    #[test]
    fn only_objects_with_a_hash_and_the_name_of_evidence_are_listed() {
        let hash = sha256(b"{}");
        let file = listed(&format!("{hash}/evidence-1-1.json"), 2).unwrap();
        assert_eq!((&*file.name, &*file.media_type), ("evidence-1-1.json", "application/json"));
        assert_eq!((file.bytes, &file.sha256), (2, &hash));
        for wrong in ["evidence-1-1.json", "abc/evidence-1-1.json", "", "/"] {
            assert!(listed(wrong, 2).is_none(), "{wrong}");
        }
        for wrong in ["a.part", "a/b.json", ""] {
            assert!(listed(&format!("{hash}/{wrong}"), 2).is_none(), "{wrong}");
        }
    }
}
