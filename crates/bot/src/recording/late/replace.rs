//! Replaces the journal, the chat and the captions of an attempt together: their times belong together.
//!
//! The next files are written beside the old ones, the journal's first. It is renamed first, too: until then the old files count, and from then on the new ones,
//! also where a process is killed before it has renamed the others.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use crate::recording::{CAPTIONS, CHAT, files::private, journal};

/// New files for an attempt's folder. `step` is called before each change of the folder.
pub(super) struct Replacement<'a, S> {
    folder: &'a Path,
    step: S,
}

/// The next file of this name. Its extension excludes it from a log of the folder.
fn next(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).with_extension("late.part")
}

/// Whether the next journal is there: the old files count.
fn is_open(folder: &Path) -> bool {
    next(folder, journal::FILE).exists()
}

/// The file of this name that counts in an attempt's folder.
pub(in crate::recording) fn current(folder: &Path, name: &str) -> PathBuf {
    let next = next(folder, name);
    if next.exists() && !is_open(folder) { next } else { folder.join(name) }
}

impl<'a, S: FnMut() -> io::Result<()>> Replacement<'a, S> {
    /// Completes or undoes a replacement that was interrupted.
    pub(super) fn begin(folder: &'a Path, step: S) -> io::Result<Self> {
        let mut begun = Self { folder, step };
        if is_open(folder) {
            // The journal last: without it the others would count.
            begun.undo(CHAT)?;
            begun.undo(CAPTIONS)?;
            begun.sync()?;
            begun.undo(journal::FILE)?;
        } else {
            begun.rename_others()?;
        }
        Ok(begun)
    }

    fn undo(&mut self, name: &str) -> io::Result<()> {
        (self.step)()?;
        match fs::remove_file(next(self.folder, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the next file of this name; the journal's is the first.
    pub(super) fn write(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        debug_assert!(name == journal::FILE || is_open(self.folder), "the journal is the first");
        (self.step)()?;
        let open = private().create(true).truncate(true).open(next(self.folder, name));
        let mut file = BufWriter::new(open?);
        // On the disk, too, the next journal is there before the others.
        self.sync()?;
        (self.step)()?;
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()
    }

    /// From now on the next files count.
    pub(super) fn commit(mut self) -> io::Result<()> {
        self.sync()?;
        self.rename(journal::FILE)?;
        // Before the others: on the disk, too, the journal is renamed first.
        self.sync()?;
        self.rename_others()
    }

    fn rename_others(&mut self) -> io::Result<()> {
        [CHAT, CAPTIONS].into_iter().try_for_each(|name| self.rename(name))
    }

    fn rename(&mut self, name: &str) -> io::Result<()> {
        let next = next(self.folder, name);
        if !next.exists() {
            return Ok(());
        }
        (self.step)()?;
        fs::rename(next, self.folder.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(self.folder)?.sync_all()
    }
}
