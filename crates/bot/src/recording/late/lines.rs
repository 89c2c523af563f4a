//! The lines of a file, or of a part of it, one after the other.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
};

use serde::de::IgnoredAny;

use super::open;

/// Reads lines. A last line that is incomplete and damaged ones are skipped.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` if the file is missing.
    file: Option<BufReader<File>>,
    /// Where the next line begins, and where the last one ends.
    rest: Range<u64>,
    bytes: Vec<u8>,
}

/// A line, and where it is in its file.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) text: String,
    pub(super) place: Range<u64>,
}

impl Lines {
    /// Those of a whole file.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Self::within(path, 0..u64::MAX)
    }

    /// Those in these bytes of a file.
    pub(super) fn within(path: &Path, bytes: Range<u64>) -> io::Result<Self> {
        let mut file = open(path)?;
        if let Some(file) = &mut file {
            file.seek(SeekFrom::Start(bytes.start))?;
        }
        Ok(Self { file, rest: bytes, bytes: Vec::new() })
    }

    /// The next one.
    pub(super) fn next(&mut self) -> io::Result<Option<Placed>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        while !self.rest.is_empty() {
            self.bytes.clear();
            let read = file.read_until(b'\n', &mut self.bytes)?;
            if read == 0 {
                break;
            }
            let place = self.rest.start..self.rest.start + read as u64;
            self.rest.start = place.end;
            if let Some(text) = text(&self.bytes) {
                return Ok(Some(Placed { text, place }));
            }
        }
        Ok(None)
    }
}

/// The line at this place of a file, if it is still there.
pub(super) fn at(file: &File, place: &Range<u64>) -> io::Result<Option<String>> {
    let mut bytes = vec![0; usize::try_from(place.end - place.start).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, place.start)?;
    Ok(text(&bytes))
}

/// The text of a line; `None` if it is damaged.
fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    serde_json::from_str::<IgnoredAny>(text).is_ok().then(|| text.to_owned())
}
