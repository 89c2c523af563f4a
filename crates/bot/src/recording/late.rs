//! Adds what earlier attempts wrote after this one had copied their journal, chat and captions.
//!
//! A worker on another machine uploads these files every 5 s. If it is killed, the next attempt copies them without the last seconds. The worker uploads
//! the rest when it is back, so they are read once more when the recording is finalised (docs/decisions/0082). The files may have hundreds of MB after a flooded
//! meeting: they are read and written line by line.

mod journals;
mod lines;
mod messages;
mod replace;

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use meetbot_types::bot::BotOrder;
use serde::de::IgnoredAny;

use self::replace::Replacement;
pub(super) use self::replace::current;
use super::{CAPTIONS, CHAT, files::folder_of, journal};

/// How the lines of an attempt's files fit into this attempt's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fit {
    /// By how much this attempt's files count from an earlier moment, in ms.
    later_ms: u64,
    /// When the next attempt was in the call, in ms of this attempt's files. From then on the next attempt has recorded everything itself, also if the
    /// earlier bot went on beside it because it was cut off from the servers.
    until_ms: Option<u64>,
}

/// Adds the late lines to the files in this attempt's folder. Files that lack nothing are not written.
pub(super) fn add(order: &BotOrder, own: &Path) -> io::Result<()> {
    add_in_steps(order, own, || Ok(()))
}

/// The same. `step` is called before each change of the folder; a test stops there.
fn add_in_steps(
    order: &BotOrder,
    own: &Path,
    step: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    // On one disk attempts follow one another: what was copied was complete.
    if order.spool.is_none() {
        return Ok(());
    }
    let mut replacement = Replacement::begin(own, step)?;
    let earlier: Vec<(u32, PathBuf)> =
        (1..order.epoch).map(|attempt| (attempt, folder_of(order, attempt))).collect();
    if has_all(own, &earlier)? {
        return Ok(());
    }
    let of = |name: &str| -> Vec<(u32, PathBuf)> {
        earlier.iter().map(|(attempt, folder)| (*attempt, current(folder, name))).collect()
    };
    let Some(journal) = journals::plan(&own.join(journal::FILE), &of(journal::FILE))? else {
        return Ok(());
    };
    replacement.write(journal::FILE, |file| journal.write(file))?;
    for (name, read, same_ms) in [
        (CHAT, messages::chat as messages::Read, messages::SAME_CHAT_MS),
        (CAPTIONS, messages::caption, messages::SAME_CAPTION_MS),
    ] {
        let fitted = of(name)
            .into_iter()
            .filter_map(|(attempt, path)| journal.fits.get(&attempt).map(|fit| (*fit, path)));
        let own = own.join(name);
        if let Some(merged) = messages::plan(&own, journal.own_ms, fitted, read, same_ms)? {
            replacement.write(name, |file| merged.write(file))?;
        }
    }
    replacement.commit()
}

/// Whether each file begins with all lines that each earlier attempt has in the file of the same name, as is usual.
fn has_all(own: &Path, earlier: &[(u32, PathBuf)]) -> io::Result<bool> {
    for name in [journal::FILE, CHAT, CAPTIONS] {
        for (_, folder) in earlier {
            if !begins_with(&own.join(name), &current(folder, name))? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a file begins with all complete lines of another one.
fn begins_with(file: &Path, beginning: &Path) -> io::Result<bool> {
    let Some(mut beginning) = open(beginning)? else { return Ok(true) };
    let mut file = open(file)?;
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    loop {
        expected.clear();
        found.clear();
        if beginning.read_until(b'\n', &mut expected)? == 0 {
            return Ok(true);
        }
        if !expected.ends_with(b"\n") && serde_json::from_slice::<IgnoredAny>(&expected).is_err() {
            return Ok(true);
        }
        if let Some(file) = &mut file {
            file.read_until(b'\n', &mut found)?;
        }
        if expected.trim_ascii_end() != found.trim_ascii_end() {
            return Ok(false);
        }
    }
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
