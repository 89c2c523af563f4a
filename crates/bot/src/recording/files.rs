//! The files and folders of a recording, and their sizes. All are readable by their owner only: the data folder may be a link to a disk that other users of
//! the machine can enter.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, BufWriter, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use meetbot_types::{bot::BotOrder, signature::Digest};

use super::READ_AT_ONCE;

/// The manifest's file.
pub(crate) const MANIFEST: &str = "manifest.json";

/// Options for writing; a file that is created has the mode 0600.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Creates a folder and its missing parents, each with the mode 0700.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The folder of an attempt.
pub(super) fn folder_of(order: &BotOrder, epoch: u32) -> PathBuf {
    order.folder.join(format!("e{epoch}"))
}

/// Whether a bot with this attempt has begun to record on this disk.
pub fn has_begun(order: &BotOrder) -> bool {
    folder_of(order, order.epoch).exists()
}

/// The SHA-256 of a file, which is read in pieces.
pub(super) fn hash(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Digest::default();
    let mut bytes = vec![0; READ_AT_ONCE];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hash.finish()),
            read => hash.add(&bytes[..read]),
        }
    }
}

/// The size of a file in bytes; 0 if it is missing.
pub(super) fn size_of(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(file) => Ok(file.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The total size of the files of all attempts, in bytes.
pub(super) fn size_of_job(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for attempt in fs::read_dir(folder)? {
        let attempt = attempt?;
        if attempt.file_type()?.is_dir() {
            for file in fs::read_dir(attempt.path())? {
                bytes += size_of(&file?.path())?;
            }
        }
    }
    Ok(bytes)
}

/// Writes a file atomically: under a temporary name, synced, then renamed.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = path.with_extension("part");
    let mut file = BufWriter::new(private().create(true).truncate(true).open(&temporary)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The entries under a folder, the folder included, that others than the owner can read.
    pub(crate) fn open_to_others(folder: &Path) -> Vec<String> {
        let mut open = Vec::new();
        let mode = fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            open.push(format!("{} {mode:03o}", folder.display()));
        }
        if folder.is_dir() {
            for entry in fs::read_dir(folder).unwrap() {
                open.extend(open_to_others(&entry.unwrap().path()));
            }
        }
        open
    }

    #[test]
    fn the_mode_of_an_existing_folder_does_not_change() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&parent.path().join("a/b")).unwrap();
        make_folder(&parent.path().join("a/b")).unwrap();
        assert!(open_to_others(&parent.path().join("a")).is_empty());
        assert_eq!(open_to_others(parent.path()).len(), 1);
    }
}
