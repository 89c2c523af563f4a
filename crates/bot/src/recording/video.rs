//! A file of pictures: as they were received, from one that a decoder can start with, and without any that it could not show.

use std::{io, path::Path};

use meetbot_rtc::Frame;

use super::{
    output::Output,
    picture::{self, Start},
    track::Written,
    webm::{self, Blocks, KEYFRAME},
};

/// A picture is shown at least this long when nothing says more.
const LEAST_MS: u64 = 33;
/// Without a picture for this long, nothing was sent: a still screen sends seldom, but it sends.
const SILENT_MS: u64 = 5_000;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct VideoFile {
    output: Output,
    blocks: Blocks,
    codec: &'static str,
    start_ms: u64,
    /// The file's time of the last picture.
    last_ms: Option<u64>,
    /// Pictures are missing: what follows shows nothing right before the next keyframe.
    broken: bool,
}

impl VideoFile {
    /// Begins a file, if a decoder could start with this frame, which belongs at `at_ms` of the recording.
    pub(crate) fn create(path: &Path, frame: &Frame, at_ms: u64) -> io::Result<Option<Self>> {
        let Some(start) = Self::start(frame) else { return Ok(None) };
        Ok(Some(Self {
            output: Output::create(path, webm::video_header(frame.codec, &start))?,
            blocks: Blocks::default(),
            codec: frame.codec,
            start_ms: at_ms,
            last_ms: None,
            broken: false,
        }))
    }

    fn start(frame: &Frame) -> Option<Start> {
        frame.keyframe.then(|| picture::start(frame.codec, &frame.data)).flatten()
    }

    /// When the file begins, in ms of the recording.
    pub(crate) const fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// The codec of its pictures.
    pub(crate) const fn codec(&self) -> &'static str {
        self.codec
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
