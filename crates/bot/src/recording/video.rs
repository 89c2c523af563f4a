//! A video file: pictures as they were received, from a keyframe on, without pictures that cannot be decoded.

use std::{io, path::Path};

use super::{
    output::Output,
    picture::{self, Start},
    track::Written,
    webm::{self, Blocks, KEYFRAME},
};
use crate::media::{Codec, Frame};

/// The duration of a picture when nothing gives a longer one.
const LEAST_MS: u64 = 33;
/// Without a picture for this long, the sender counts as silent: a screen without changes sends seldom, but it sends.
const SILENT_MS: u64 = 5_000;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct VideoFile {
    output: Output,
    blocks: Blocks,
    codec: Codec,
    /// The rotation in its header, in degrees clockwise.
    rotation: u16,
    start_ms: u64,
    /// The file's time of the last picture.
    last_ms: Option<u64>,
    /// Pictures are missing: the following ones cannot be decoded before the next keyframe.
    broken: bool,
}

impl VideoFile {
    /// Creates a file for a codec, with the header data that [`VideoFile::start`] read from the first picture, which belongs at `at_ms` of the recording. Players
    /// rotate the pictures by `rotation` degrees clockwise.
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

    /// The header data of a file that begins with this frame; `None` if no decoder can start with it.
    pub(crate) fn start(frame: &Frame) -> Option<Start> {
        frame.keyframe.then(|| picture::start(frame.codec, &frame.data)).flatten()
    }

    /// The codec of its pictures.
    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// By how many degrees clockwise a player rotates its pictures.
    pub(crate) const fn rotation(&self) -> u16 {
        self.rotation
    }

    /// The first ms of the recording after its last picture.
    pub(crate) fn after_last_ms(&self) -> u64 {
        self.last_ms.map_or(self.start_ms, |last| self.start_ms + last + 1)
    }

    /// Pictures will be missing: the next one that is written must be a keyframe.
    pub(crate) const fn interrupt(&mut self) {
        self.broken = true;
    }

    /// Writes a picture that belongs at `at_ms` of the recording. `None`: it cannot be decoded, and a keyframe is needed.
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

    /// Writes the buffer to the file; returns how many bytes.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        self.output.flush()
    }

    /// How many bytes are in the buffer.
    pub(crate) fn buffered(&self) -> usize {
        self.output.buffer.len()
    }

    /// Closes the file.
    pub(crate) fn close(self) -> io::Result<()> {
        self.output.close()
    }
}
