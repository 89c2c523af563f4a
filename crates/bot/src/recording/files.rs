//! How the files and folders of a recording are made: readable by their owner alone. What is recorded is the consumer's, and the folder that holds it may be
//! a link to a disk that other users of the machine can enter.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// For opening a file that is written; one that is made by it has the mode 0600.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Makes a folder and those above it that are missing, each with the mode 0700.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// What lies under a folder and what others than the owner may read of it, the folder itself included.
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
    fn a_folder_that_is_there_is_taken_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&parent.path().join("a/b")).unwrap();
        make_folder(&parent.path().join("a/b")).unwrap();
        assert!(open_to_others(&parent.path().join("a")).is_empty());
        assert_eq!(open_to_others(parent.path()).len(), 1);
    }
}
