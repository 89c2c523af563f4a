//! The state of one source of one person: its clocks, and the file that is being written.

use std::{io, sync::Arc};

use super::{
    clock::{SenderClock, SenderLead},
    sound,
    stream_clock::{Placement, Seen, StreamClock},
    track::{TrackFile, Written},
    video::VideoFile,
};
use crate::{
    bounds::{FILES_OF_ONE, ONE_MORE_FILE_MS},
    media::{Frame, TrackId},
    meeting::{Attribution, Source},
};

/// How often a keyframe is requested until one is written.
const KEYFRAME_REQUEST_MS: u64 = 1_000;

/// The source to which a frame belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The person's first id.
    pub(super) person: Arc<str>,
    pub(super) video: bool,
    pub(super) source: Source,
}

impl Key {
    /// All sources of a person.
    pub(super) fn all_of(person: &str) -> impl Iterator<Item = Self> {
        let person: Arc<str> = person.into();
        [Source::Microphone, Source::Camera, Source::Screen].into_iter().flat_map(move |source| {
            [false, true].map(|video| Self { person: Arc::clone(&person), video, source })
        })
    }
}

/// A source and its file.
#[derive(Debug)]
pub(super) struct SourceWriter {
    /// `None` before a frame with which a file can begin.
    pub(super) file: Option<Media>,
    pub(super) name: String,
    /// The index of the file among those of this attempt, in the order of their lines in the journal.
    pub(super) number: u16,
    /// The meeting's track; `None` while the connection to the meeting is lost. A track of the same name after that is another one.
    on: Option<TrackId>,
    /// Lost packets of a video since the last picture in the file.
    pub(super) lost: u64,
    pub(super) stream: StreamClock,
    /// The sender's clock, by the reports on this track.
    pub(super) sender: SenderClock,
    /// For audio: how far the sender's clock is ahead of the recording's.
    pub(super) lead: SenderLead,
    /// The file's start, as in the journal.
    pub(super) journaled_start_ms: u64,
    /// By how many degrees clockwise the sender's pictures must be rotated for display.
    pub(super) rotation: u16,
    /// How it is known whose the last frame is,
    pub(super) attribution: Attribution,
    /// and whose those in the file are.
    pub(super) attribution_of_file: Attribution,
    /// How many video files this attempt has begun.
    pub(super) files: u64,
    /// When a keyframe was requested last.
    asked_ms: Option<u64>,
    /// The person left since the last frame.
    pub(super) absent: bool,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) enum Media {
    Sound(TrackFile),
    Pictures(VideoFile),
}

impl SourceWriter {
    /// The state before the first frame.
    pub(super) fn new(frame: &Frame, attribution: Attribution) -> Self {
        Self {
            file: None,
            name: String::new(),
            number: 0,
            on: Some(frame.track),
            lost: 0,
            stream: StreamClock::new(frame.clock_rate, !frame.is_picture()),
            sender: SenderClock::default(),
            lead: SenderLead::default(),
            journaled_start_ms: 0,
            rotation: 0,
            attribution,
            attribution_of_file: attribution,
            files: 0,
            asked_ms: None,
            absent: false,
        }
    }

    /// Frames will be missing: a video continues with a keyframe.
    pub(super) fn interrupt(&mut self) {
        if let Some(Media::Pictures(file)) = &mut self.file {
            file.interrupt();
        }
    }

    /// The connection was lost: sequence numbers and clocks of later frames begin again.
    pub(super) fn reset_connection(&mut self) {
        self.on = None;
        self.stream.restart();
        self.sender = SenderClock::default();
        self.lead = SenderLead::default();
        self.rotation = 0;
        self.interrupt();
    }

    pub(super) fn flush(&mut self) -> io::Result<u64> {
        match &mut self.file {
            Some(Media::Sound(file)) => file.flush(),
            Some(Media::Pictures(file)) => file.flush(),
            None => Ok(0),
        }
    }

    /// How many bytes are in the buffer.
    pub(super) fn buffered(&self) -> usize {
        match &self.file {
            Some(Media::Sound(file)) => file.buffered(),
            Some(Media::Pictures(file)) => file.buffered(),
            None => 0,
        }
    }

    pub(super) fn close(self) -> io::Result<()> {
        match self.file {
            Some(Media::Sound(file)) => file.close(),
            Some(Media::Pictures(file)) => file.close(),
            None => Ok(()),
        }
    }

    /// Places a frame on the recording's clock; `None` if it is a duplicate or too late.
    pub(super) fn place(&mut self, frame: &Frame, at_ms: u64) -> Option<Placement> {
        if self.on != Some(frame.track) {
            self.reset_connection();
            self.on = Some(frame.track);
        }
        let placement = self.stream.observe_packet(&Seen {
            sequence: frame.sequence.clone(),
            rtp_time: frame.rtp_time,
            lasts: sound::ticks(frame.codec, &frame.data).unwrap_or(0),
            at_ms,
            report: frame.sender_report,
        })?;
        self.rotation = frame.rotation.unwrap_or(self.rotation);
        Some(placement)
    }

    /// Whether the sender's rotation differs from that of the video file.
    pub(super) fn rotation_changed(&self) -> bool {
        matches!(&self.file, Some(Media::Pictures(file)) if file.rotation() != self.rotation)
    }

    /// The first ms of the recording after the file's last picture.
    pub(super) fn after_last_picture_ms(&self) -> u64 {
        match &self.file {
            Some(Media::Pictures(file)) => file.after_last_ms(),
            _ => 0,
        }
    }

    /// Whether another video file may begin at `at_ms`.
    pub(super) const fn may_begin(&self, at_ms: u64) -> bool {
        self.files < FILES_OF_ONE + at_ms / ONE_MORE_FILE_MS
    }

    /// The place in the recording by the track's clock, in ms.
    pub(super) fn ms(&self, placement: &Placement) -> f64 {
        (placement.place + self.stream.base()) as f64 * 1000.0 / f64::from(self.stream.rate())
    }

    /// Writes the held packets.
    pub(super) fn settle(&mut self, written: &mut Vec<Written>) {
        let ticks = self.stream.settle();
        if let Some(Media::Sound(file)) = &mut self.file {
            file.release(ticks, written);
        }
    }

    /// Whether to request a keyframe now.
    pub(super) fn should_request_keyframe(&mut self, at_ms: u64) -> bool {
        let due = self.asked_ms.is_none_or(|asked| at_ms >= asked + KEYFRAME_REQUEST_MS);
        if due {
            self.asked_ms = Some(at_ms);
        }
        due
    }
}
