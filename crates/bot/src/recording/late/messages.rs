//! The chat or the captions of an attempt with the lines that earlier attempts wrote last.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use meetbot_types::bot::{Caption, ChatMessage};
use serde::Serialize;

use super::{
    Fit,
    lines::{self, Lines, Placed},
    open,
};

/// Of one message bots have one id, at whatever time it reached them.
pub(super) const SAME_CHAT_MS: u64 = u64::MAX;
/// By how much the start of one caption may differ between two bots.
pub(super) const SAME_CAPTION_MS: u64 = 1_000;

/// Reads a line of chat or captions, and moves it by so many ms.
pub(super) type Read = for<'a> fn(&'a str, u64) -> Option<Message<'a>>;

/// A line of chat or captions.
#[derive(Debug)]
pub(super) struct Message<'a> {
    at_ms: u64,
    /// Lines with the same key at about the same time are one.
    key: (String, String),
    line: Cow<'a, str>,
}

/// The chat or the captions of an attempt with late lines.
#[derive(Debug)]
pub(super) struct Merged {
    own: PathBuf,
    own_ms: u64,
    /// The files of earlier attempts, each with its [`Fit::later_ms`].
    earlier: Vec<(File, u64)>,
    /// The late lines, in the order of their times.
    late: Vec<Late>,
    read: Read,
}

/// A line that only an earlier attempt has.
#[derive(Debug)]
struct Late {
    at_ms: u64,
    /// The index of its file.
    file: usize,
    place: Range<u64>,
}

/// The lines of an attempt's file, `own_ms` later, and those that only the files of earlier attempts have, each where its time belongs. `None` if that changes
/// nothing. A line that two bots wrote stands once: lines are the same within `same_ms`.
pub(super) fn plan(
    own: &Path,
    own_ms: u64,
    earlier: impl IntoIterator<Item = (Fit, PathBuf)>,
    read: Read,
    same_ms: u64,
) -> io::Result<Option<Merged>> {
    // Of a line only a hash and the time are kept in memory.
    let hasher = RandomState::new();
    let mut known = BTreeSet::<(u64, u64)>::new();
    let (mut own_lines, mut is_empty) = (Lines::of(own)?, true);
    while let Some(Placed { text, .. }) = own_lines.next()? {
        is_empty = false;
        if let Some(Message { at_ms, key, .. }) = read(&text, own_ms) {
            known.insert((hasher.hash_one(key), at_ms));
        }
    }
    let (mut late, mut files) = (Vec::new(), Vec::new());
    for (Fit { later_ms, until_ms }, path) in earlier {
        let Some(opened) = open(&path)? else { continue };
        let (mut lines, mut new) = (Lines::of(&path)?, Vec::new());
        while let Some(Placed { text, place }) = lines.next()? {
            let Some(Message { at_ms, key, .. }) = read(&text, later_ms) else { continue };
            let hash = hasher.hash_one(key);
            let same =
                (hash, at_ms.saturating_sub(same_ms))..=(hash, at_ms.saturating_add(same_ms));
            let is_early = until_ms.is_none_or(|until_ms| at_ms <= until_ms);
            if is_early && known.range(same).next().is_none() {
                new.push((hash, at_ms));
                late.push(Late { at_ms, file: files.len(), place });
            }
        }
        known.extend(new);
        files.push((opened.into_inner(), later_ms));
    }
    if late.is_empty() && (own_ms == 0 || is_empty) {
        return Ok(None);
    }
    late.sort_by_key(|late| late.at_ms);
    Ok(Some(Merged { own: own.to_owned(), own_ms, earlier: files, late, read }))
}

impl Merged {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut late = self.late.iter().peekable();
        let (mut own, mut at_ms) = (Lines::of(&self.own)?, 0);
        while let Some(Placed { text, .. }) = own.next()? {
            let moved = (self.read)(&text, self.own_ms);
            // A line that cannot be read stays behind the one before it.
            at_ms = moved.as_ref().map_or(at_ms, |moved| moved.at_ms);
            while let Some(before) = late.next_if(|late| late.at_ms < at_ms) {
                self.write_late(before, to)?;
            }
            writeln!(to, "{}", moved.map_or(Cow::Borrowed(&*text), |moved| moved.line))?;
        }
        late.try_for_each(|late| self.write_late(late, to))
    }

    fn write_late(&self, late: &Late, to: &mut impl Write) -> io::Result<()> {
        let Some((file, later_ms)) = self.earlier.get(late.file) else { return Ok(()) };
        let text = lines::at(file, &late.place)?;
        match text.as_ref().and_then(|text| (self.read)(text, *later_ms)) {
            Some(Message { line, .. }) => writeln!(to, "{line}"),
            None => Ok(()),
        }
    }
}

/// Reads a line of `chat.jsonl`.
pub(super) fn chat(line: &str, later_ms: u64) -> Option<Message<'_>> {
    let mut message: ChatMessage = serde_json::from_str(line).ok()?;
    message.at_ms = message.at_ms.saturating_add(later_ms);
    let line = moved(line, &message, later_ms)?;
    Some(Message { at_ms: message.at_ms, key: (message.id, String::new()), line })
}

/// Reads a line of `captions.jsonl`.
pub(super) fn caption(line: &str, later_ms: u64) -> Option<Message<'_>> {
    let mut caption: Caption = serde_json::from_str(line).ok()?;
    caption.start_ms = caption.start_ms.saturating_add(later_ms);
    caption.end_ms = caption.end_ms.saturating_add(later_ms);
    let line = moved(line, &caption, later_ms)?;
    Some(Message { at_ms: caption.start_ms, key: (caption.speaker_id, caption.text), line })
}

/// The line, with its new times if it was moved.
fn moved<'a>(line: &'a str, message: &impl Serialize, later_ms: u64) -> Option<Cow<'a, str>> {
    if later_ms == 0 {
        return Some(Cow::Borrowed(line));
    }
    serde_json::to_string(message).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
