//! A recording of any length, written as fast as the disk takes it by the code that records meetings: the dashboard's player is tested on one of an hour.

use std::{io, path::Path, sync::Arc, time::Duration};

use meetbot_types::{
    Cause, JobId, LeaveReason,
    bot::{BotOrder, Participant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bench::order,
    clock,
    media::{Codec, Frame, TrackId},
    meeting::Source,
    recording::{Counters, Recording, finalize::finalize},
};

/// How long a packet of a voice is, in ms.
pub const PACKET_MS: u64 = 20;
/// How far apart the pictures of a camera or a screen are, in ms.
pub const PICTURE_MS: u64 = 100;
/// How often what was written is handed to the system, in ms.
const FLUSH_MS: u64 = 10_000;

/// What is encoded at a moment of the meeting, and whether a decoder can start there.
pub type Encoded = (Arc<[u8]>, bool);

/// What a camera or a screen shows.
#[derive(Debug, Clone, Copy)]
pub struct Pictures {
    /// `vp8`, `vp9` or `h264`.
    pub codec: &'static str,
    /// Whether it is a screen, and no camera.
    pub screen: bool,
    /// From when on, and until when, in ms of the meeting.
    pub shown: (u64, u64),
    /// The picture of this moment, in ms of the meeting.
    pub at: fn(u64) -> Encoded,
}

/// A person of the meeting.
#[derive(Debug)]
pub struct Speaker {
    /// Their name.
    pub name: &'static str,
    /// When they come and when they leave, in ms of the meeting; whole packets.
    pub there: (u64, u64),
    /// When they are muted, and send nothing.
    pub muted: (u64, u64),
    /// When packets of theirs are lost.
    pub lost: (u64, u64),
    /// When they speak, as the level of each packet says.
    pub speaks: fn(u64) -> bool,
    /// Which of the voices is theirs.
    pub voice: usize,
    /// What they show.
    pub pictures: Option<Pictures>,
}

/// Writes a meeting of this length into the job's folder, as a bot that was there from its start to its end. `voice` makes the packet of a voice at a moment,
/// in ms of the meeting.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(
    folder: &Path,
    job: JobId,
    length_ms: u64,
    people: &[Speaker],
    voice: impl Fn(usize, u64) -> Arc<[u8]>,
) -> io::Result<()> {
    let order = BotOrder { job_id: job, ..order(folder) };
    let start = clock::now();
    let wall = clock::wall() - Duration::from_millis(length_ms);
    let at = |ms| start + Duration::from_millis(ms);
    let mut recording = Recording::open(&order, (start, wall), Counters::default())?;
    for ms in (0..length_ms).step_by(usize::try_from(PACKET_MS).unwrap_or(1)) {
        for (index, speaker) in people.iter().enumerate() {
            let id = index.to_string();
            if ms == speaker.there.0 {
                let name = speaker.name.to_owned();
                let id = id.clone();
                let person = Participant { id, name, is_host: index == 0, is_bot: false };
                recording.joined(&person, at(ms))?;
            } else if ms == speaker.there.1 {
                recording.left(&id, at(ms))?;
            }
            let is = |(from, to): (u64, u64)| from <= ms && ms < to;
            if !is(speaker.there) {
                continue;
            }
            // A sender that is muted counts on from where it was; packets that are lost leave holes.
            let muted = (ms.min(speaker.muted.1)).saturating_sub(speaker.muted.0);
            let number = (ms - speaker.there.0 - muted) / PACKET_MS;
            if !is(speaker.muted) && !is(speaker.lost) {
                let level = if (speaker.speaks)(ms) { -20 } else { -70 };
                let frame = Frame {
                    track: TrackId::named("0"),
                    codec: Codec::Opus,
                    rtp_time: ms * 48,
                    clock_rate: 48_000,
                    sequence: number..=number,
                    arrived: at(ms),
                    level_dbov: Some(level),
                    voice: None,
                    contributing_sources: Vec::new(),
                    rotation: None,
                    keyframe: false,
                    contiguous: true,
                    sender_report: None,
                    data: voice(speaker.voice, ms),
                };
                recording.frame(&id, Source::Microphone, &frame)?;
            }
            let Some(pictures) = speaker.pictures.filter(|it| is(it.shown)) else { continue };
            if ms % PICTURE_MS != 0 {
                continue;
            }
            let (data, keyframe) = (pictures.at)(ms);
            let number = ms / PICTURE_MS;
            let frame = Frame {
                track: TrackId::named("1"),
                codec: Codec::named(pictures.codec).ok_or(io::ErrorKind::InvalidInput)?,
                rtp_time: ms * 90,
                clock_rate: 90_000,
                sequence: number..=number,
                arrived: at(ms),
                level_dbov: None,
                voice: None,
                contributing_sources: Vec::new(),
                rotation: None,
                keyframe,
                contiguous: true,
                sender_report: None,
                data,
            };
            let source = if pictures.screen { Source::Screen } else { Source::Camera };
            recording.frame(&id, source, &frame)?;
        }
        if ms % FLUSH_MS == 0 {
            recording.flush()?;
        }
    }
    let reason = LeaveReason::MeetingEnded;
    recording.close(at(length_ms), Some(reason.clone()))?;
    let end = |has_media| Cause::Left(reason).ending(has_media, false);
    finalize(&order, true, &CancellationToken::new(), end)?;
    Ok(())
}
