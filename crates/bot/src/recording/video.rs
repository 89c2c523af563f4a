//! A file of pictures: as they were received, from one that a decoder can start with, and without any that it could not show.

use std::{io, path::Path};

use super::{
    output::Output,
    picture::{self, Start},
    track::Written,
    webm::{self, Blocks, KEYFRAME},
};
use crate::media::{Codec, Frame};

/// A picture is shown at least this long when nothing says more.
const LEAST_MS: u64 = 33;
/// Without a picture for this long, nothing was sent: a still screen sends seldom, but it sends.
const SILENT_MS: u64 = 5_000;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct VideoFile {
    output: Output,
    blocks: Blocks,
    codec: Codec,
    /// What its header says, in degrees clockwise.
    rotation: u16,
    start_ms: u64,
    /// The file's time of the last picture.
    last_ms: Option<u64>,
    /// Pictures are missing: what follows shows nothing right before the next keyframe.
    broken: bool,
}

impl VideoFile {
    /// Begins a file of pictures of a codec, with what [`VideoFile::start`] said of the first one, which belongs at `at_ms` of the recording. Players turn them by
    /// `rotation` degrees clockwise.
    pub(crate) fn create(
        path: &Path,
        codec: Codec,
        start: &Start,
        rotation: u16,
        at_ms: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            output: Output::create(path, webm::video_header(codec, start, rotation))?,
            blocks: Blocks::default(),
            codec,
            rotation,
            start_ms: at_ms,
            last_ms: None,
            broken: false,
        })
    }

    /// What a file that begins with this frame says in its header; `None` where no decoder could start with it.
    pub(crate) fn start(frame: &Frame) -> Option<Start> {
        frame.keyframe.then(|| picture::start(frame.codec, &frame.data)).flatten()
    }

    /// The codec of its pictures.
    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// By how many degrees clockwise a player turns its pictures.
    pub(crate) const fn rotation(&self) -> u16 {
        self.rotation
    }

    /// The first ms of the recording after its last picture.
    pub(crate) fn after_last_ms(&self) -> u64 {
        self.last_ms.map_or(self.start_ms, |last| self.start_ms + last + 1)
    }

    /// Pictures will be missing: the next that is written is a keyframe.
    pub(crate) const fn interrupt(&mut self) {
        self.broken = true;
    }

    /// Takes a picture that belongs at `at_ms` of the recording. `None`: it could not be shown, and a keyframe is needed.
    pub(crate) fn write(&mut self, frame: &Frame, at_ms: u64) -> Option<Written> {
        self.broken |= !frame.contiguous && !frame.keyframe;
        let restarts = self.broken;
        if self.broken && Self::start(frame).is_none() {
            return None;
        }
        self.broken = false;
        let at = at_ms.saturating_sub(self.start_ms);
        let at = self.last_ms.map_or(at, |last| at.max(last + 1));
        let mut written =
            Written { at_ms: self.start_ms + at, duration_ms: LEAST_MS, ..Written::default() };
        if let Some(last) = self.last_ms
            && (restarts || at > last + SILENT_MS)
        {
            written.filled = Some((self.start_ms + last, self.start_ms + at));
        }
        let flags = if frame.keyframe { KEYFRAME } else { 0 };
        self.blocks.push(
            &mut self.output.buffer,
            at,
            flags,
            &picture::stored(self.codec, &frame.data),
        );
        self.last_ms = Some(at);
        Some(written)
    }

    /// Hands what was taken to the system; answers how many bytes.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        self.output.flush()
    }

    /// How many bytes were not handed to the system yet.
    pub(crate) fn buffered(&self) -> usize {
        self.output.buffer.len()
    }

    /// Ends the file; it is on disk after this.
    pub(crate) fn close(self) -> io::Result<()> {
        self.output.close()
    }
}
