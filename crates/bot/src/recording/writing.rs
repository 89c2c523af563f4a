//! What one person sends on one track, on its way into a file.

use std::io;

use super::{
    clock::{SenderClock, SenderLead},
    sound,
    stream_clock::{Heard, Seen, StreamClock},
    track::{TrackFile, Written},
    video::VideoFile,
};
use crate::{
    bounds::{FILES_OF_ONE, ONE_MORE_FILE_MS},
    media::{Frame, TrackId},
    meeting::Source,
};

/// A keyframe is asked for this often, until one is written.
const ASK_EVERY_MS: u64 = 1_000;

/// Which file a frame belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// By the first id.
    pub(super) person: String,
    pub(super) video: bool,
    pub(super) source: Source,
}

impl Key {
    /// All that a person can send.
    pub(super) fn all_of(person: &str) -> impl Iterator<Item = Self> {
        [Source::Microphone, Source::Camera, Source::Screen].into_iter().flat_map(move |source| {
            [false, true].map(|video| Self { person: person.to_owned(), video, source })
        })
    }
}

/// Something that someone sends, and its file.
#[derive(Debug)]
pub(super) struct Writing {
    /// `None` before there is something that a file can begin with.
    pub(super) file: Option<Media>,
    pub(super) name: String,
    /// The meeting's track it comes on; `None` while the way to the meeting is lost. After that a track of the same name is another.
    on: Option<TrackId>,
    /// Packets of a video that never came, since the last that is in the file.
    pub(super) lost: u64,
    pub(super) stream: StreamClock,
    /// The sender's clock by the reports of this track.
    pub(super) sender: SenderClock,
    /// How far that is ahead of the recording's, where this is a voice.
    pub(super) lead: SenderLead,
    /// When the file began, as the journal has it.
    pub(super) journaled_start_ms: u64,
    /// By how many degrees clockwise its sender wants pictures to be turned for showing.
    pub(super) rotation: u16,
    /// How many files of pictures this attempt has begun.
    pub(super) files: u64,
    /// When a keyframe was asked for last.
    asked_ms: Option<u64>,
    /// They left since the last frame.
    pub(super) absent: bool,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) enum Media {
    Sound(TrackFile),
    Pictures(VideoFile),
}

impl Writing {
    /// Before its first frame.
    pub(super) fn new(frame: &Frame) -> Self {
        Self {
            file: None,
            name: String::new(),
            on: Some(frame.track),
            lost: 0,
            stream: StreamClock::new(frame.clock_rate, !frame.is_picture()),
            sender: SenderClock::default(),
            lead: SenderLead::default(),
            journaled_start_ms: 0,
            rotation: 0,
            files: 0,
            asked_ms: None,
            absent: false,
        }
    }

    /// Frames will be missing.
    pub(super) fn interrupt(&mut self) {
        if let Some(Media::Pictures(file)) = &mut self.file {
            file.interrupt();
        }
    }

    /// What comes from now on comes another way: its numbers and its clock begin anew.
    pub(super) fn lose_way(&mut self) {
        self.on = None;
        self.stream.begin_anew();
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

    /// How many bytes were not handed to the system yet.
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

    /// Hears when a frame came; `None` when it is doubled or too late to be in order.
    pub(super) fn hear(&mut self, frame: &Frame, at_ms: u64) -> Option<Heard> {
        if self.on != Some(frame.track) {
            self.lose_way();
            self.on = Some(frame.track);
        }
        let heard = self.stream.hear(&Seen {
            sequence: frame.sequence.clone(),
            rtp_time: frame.rtp_time,
            lasts: sound::ticks(frame.codec, &frame.data).unwrap_or(0),
            at_ms,
            report: frame.sender_report,
        })?;
        self.rotation = frame.rotation.unwrap_or(self.rotation);
        Some(heard)
    }

    /// Whether the file of pictures says another rotation than its sender does now.
    pub(super) fn is_turned(&self) -> bool {
        matches!(&self.file, Some(Media::Pictures(file)) if file.rotation() != self.rotation)
    }

    /// The first ms of the recording after the last picture that is in the file.
    pub(super) fn after_last_picture_ms(&self) -> u64 {
        match &self.file {
            Some(Media::Pictures(file)) => file.after_last_ms(),
            _ => 0,
        }
    }

    /// Whether another file of pictures may begin at `at_ms`.
    pub(super) const fn may_begin(&self, at_ms: u64) -> bool {
        self.files < FILES_OF_ONE + at_ms / ONE_MORE_FILE_MS
    }

    /// When in the recording something belongs, by its own clock, in ms.
    pub(super) fn ms(&self, heard: &Heard) -> f64 {
        (heard.place + self.stream.base()) as f64 * 1000.0 / f64::from(self.stream.rate())
    }

    /// Writes what is held back.
    pub(super) fn settle(&mut self) -> Vec<Written> {
        let ticks = self.stream.settle();
        match &mut self.file {
            Some(Media::Sound(file)) => file.release(ticks),
            _ => Vec::new(),
        }
    }

    /// Whether to ask for a keyframe now.
    pub(super) fn ask(&mut self, at_ms: u64) -> bool {
        let due = self.asked_ms.is_none_or(|asked| at_ms >= asked + ASK_EVERY_MS);
        if due {
            self.asked_ms = Some(at_ms);
        }
        due
    }
}
