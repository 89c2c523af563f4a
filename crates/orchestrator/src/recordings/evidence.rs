//! Evidence of failed joins: small files in the job's folder, which no manifest lists.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use meetbot_types::{JobId, bot::EVIDENCE_FOLDER, manifest::File, signature::sha256};

use super::{Recordings, local::entries};

impl Recordings {
    /// The files that are kept of a job's joins that failed.
    pub(crate) async fn evidence(&self, job: JobId) -> io::Result<Vec<File>> {
        let folder = self.of_job(job).join(EVIDENCE_FOLDER);
        let found = tokio::task::spawn_blocking(move || files_in(&folder)).await;
        found.map_err(io::Error::other)?
    }

    /// Where one of them lies.
    pub(crate) fn evidence_file(&self, job: JobId, name: &str) -> PathBuf {
        self.of_job(job).join(EVIDENCE_FOLDER).join(name)
    }
}

fn files_in(folder: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        let media_type = match path.extension().and_then(OsStr::to_str) {
            Some("json") => "application/json",
            Some("png") => "image/png",
            // It is being written.
            _ => continue,
        };
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
}
