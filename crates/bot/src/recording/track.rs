//! The audio file of one speaker: packets as they were received, on a timeline without gaps.
//!
//! A player counts samples, so a packet plays when everything before it has played: gaps are filled with silence, in steps of 2.5 ms. A file that is behind
//! its clock by less than [`NOTICED_TICKS`] gets silence in pauses of speech. A file that is ahead can only be shortened by dropping packets: due silence
//! shrinks first, then packets without speech are dropped, and others only if that is not enough, one in a second at most.

use std::{io, path::Path, sync::Arc};

use super::{
    opus::{SHORTEST_TICKS, TICKS_PER_MS},
    output::Output,
    sound,
    stream_clock::{Placement, Verdict},
    webm::{self, Blocks, KEYFRAME},
};
use crate::media::Codec;

/// An offset that is corrected also in the middle of speech.
const NOTICED_TICKS: u64 = 30 * TICKS_PER_MS;
/// An offset that is corrected in pauses of speech.
const QUIET_TICKS: u64 = 10 * TICKS_PER_MS;
/// Packets with speech are dropped at most once in this time.
const APART_TICKS: u64 = 1_000 * TICKS_PER_MS;
/// If a file is ahead by this much, its sender sends faster than real time.
const AHEAD_TICKS: u64 = 2_000 * TICKS_PER_MS;
/// Filled silence without a pause of the sender counts as a gap from this length on; clock drift causes shorter ones.
const GAP_TICKS: u64 = 40 * TICKS_PER_MS;

/// A packet to write.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// The sender's clock, in ticks of 1/48000 s.
    pub(crate) rtp_time: u64,
    /// There is speech in it.
    pub(crate) speech: bool,
    /// Its level in dBov, where it is known.
    pub(crate) level_dbov: Option<i8>,
    /// The part before this moment, in ms of the recording, is not written.
    pub(crate) not_before_ms: u64,
    /// How many packets before it were lost.
    pub(crate) lost: u64,
    /// The packet.
    pub(crate) data: Arc<[u8]>,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct TrackFile {
    output: Output,
    codec: Codec,
    cursor: Cursor,
    /// Where the file begins on its stream's clock, in ticks.
    start: i64,
    /// [`super::stream_clock::StreamClock::base`] of its stream.
    base: i64,
    /// Packets whose places are uncertain.
    held: Vec<Held>,
}

/// A packet that waits to be written; without a packet, a part that is not to be written.
#[derive(Debug)]
struct Held {
    place: i64,
    pause: bool,
    packet: Option<Packet>,
}

/// The position in the file.
#[derive(Debug, Clone, Default)]
struct Cursor {
    blocks: Blocks,
    /// When the next packet plays, in ticks of the file.
    next: u64,
    /// Something before the next packet was not written.
    hole: bool,
    /// How many packets before the next one were lost.
    lost: u64,
    /// The RTP time of the last packet, and when it plays.
    last: (u64, u64),
    /// When a packet with speech was dropped last.
    dropped_at: Option<u64>,
}

/// The result of writing a packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// When it plays, in ms of the recording.
    pub(crate) at_ms: u64,
    /// The same in ms of an audio file.
    pub(crate) file_ms: u64,
    /// Silence was inserted before it: its start and end in the recording's time.
    pub(crate) filled: Option<(u64, u64)>,
    /// Its duration, in ms.
    pub(crate) duration_ms: u64,
    /// In how many packets it arrived.
    pub(crate) packets: u64,
    /// How many packets before it were lost.
    pub(crate) lost: u64,
    /// There is speech in it.
    pub(crate) speech: bool,
    /// How loud it is, in dBov, where that is known.
    pub(crate) level_dbov: Option<i8>,
}

impl TrackFile {
    /// Creates a file; the caller writes the first packet.
    pub(crate) fn create(
        path: &Path,
        codec: Codec,
        placement: &Placement,
        base: i64,
    ) -> io::Result<Self> {
        let header = webm::sound_header(codec);
        Ok(Self {
            output: Output::create(path, header)?,
            codec,
            cursor: Cursor::default(),
            start: placement.place,
            base,
            held: Vec::new(),
        })
    }

    /// The codec of its packets.
    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// When the file begins, in ms of the recording. It may become earlier in the first seconds.
    pub(crate) fn start_ms(&self) -> u64 {
        (self.start + self.base).max(0).unsigned_abs() / TICKS_PER_MS
    }

    /// An RTP time and the recording's time, in ms, of the same moment.
    pub(crate) fn anchor(&self) -> (u64, f64) {
        let (rtp, file) = self.cursor.last;
        (rtp, self.start_ms() as f64 + file as f64 / TICKS_PER_MS as f64)
    }

    /// Takes the placement by the stream's clock, and the packet, if it is to be written. Adds what was written now.
    pub(crate) fn take(
        &mut self,
        placement: &Placement,
        base: i64,
        packet: Option<Packet>,
        written: &mut Vec<Written>,
    ) {
        self.base = base;
        self.held.push(Held { place: placement.place, pause: placement.pause, packet });
        match placement.verdict {
            Verdict::Hold => {}
            Verdict::Move(ticks) => self.release(ticks, written),
        }
    }

    /// Writes the held packets, moved by these ticks.
    pub(crate) fn release(&mut self, ticks: i64, written: &mut Vec<Written>) {
        let start_ms = self.start_ms();
        for held in self.held.drain(..) {
            let place = held.place + ticks - self.start;
            let out = &mut self.output.buffer;
            written.extend(self.cursor.put(out, self.codec, start_ms, place, &held));
        }
    }

    /// Writes the buffer to the file, and the held packets provisionally, at their most likely places. Returns how many bytes are final.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        let bytes = self.output.flush()?;
        if !self.held.is_empty() {
            let (mut cursor, mut out) = (self.cursor.clone(), Vec::new());
            for held in &self.held {
                cursor.put(&mut out, self.codec, self.start_ms(), held.place - self.start, held);
            }
            self.output.write_ahead(&out)?;
        }
        Ok(bytes)
    }

    /// How many bytes are in the buffer.
    pub(crate) fn buffered(&self) -> usize {
        self.output.buffer.len()
    }

    /// Closes the file.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.release(0, &mut Vec::new());
        self.output.close()
    }
}

impl Cursor {
    /// Writes a packet that belongs at `place`, in ticks of the file.
    fn put(
        &mut self,
        out: &mut Vec<u8>,
        codec: Codec,
        start_ms: u64,
        place: i64,
        held: &Held,
    ) -> Option<Written> {
        let packet = held.packet.as_ref();
        let lasts = packet.and_then(|packet| sound::ticks(codec, &packet.data));
        let (Some(packet), Some(lasts)) = (packet, lasts) else {
            self.hole = true;
            self.lost += packet.map_or(0, |packet| packet.lost);
            return None;
        };
        self.lost += packet.lost;
        let place = place.max(0).unsigned_abs();
        let ms = |ticks: u64| start_ms + ticks / TICKS_PER_MS;
        if ms(place) < packet.not_before_ms {
            self.hole = true;
            return None;
        }
        if self.is_dropped(self.next.saturating_sub(place), lasts, packet.speech) {
            return None;
        }
        let mut filled = None;
        let behind = place.saturating_sub(self.next);
        let pause = held.pause || self.hole || behind >= GAP_TICKS;
        if pause || behind >= NOTICED_TICKS || (behind >= QUIET_TICKS && !packet.speech) {
            let from = self.next;
            while self.next + SHORTEST_TICKS <= place {
                self.next += webm::push_filling(
                    &mut self.blocks,
                    out,
                    codec,
                    self.next / TICKS_PER_MS,
                    place - self.next,
                );
            }
            filled = (pause && self.next > from).then(|| (ms(from), ms(self.next)));
        }
        self.blocks.push(out, self.next / TICKS_PER_MS, KEYFRAME, &packet.data);
        let written = Written {
            at_ms: ms(self.next),
            file_ms: self.next / TICKS_PER_MS,
            filled,
            duration_ms: lasts / TICKS_PER_MS,
            packets: 1,
            lost: std::mem::take(&mut self.lost),
            speech: packet.speech,
            level_dbov: packet.level_dbov,
        };
        self.last = (packet.rtp_time, self.next);
        self.next += lasts;
        self.hole = false;
        Some(written)
    }

    /// Whether a packet is dropped because the file is ahead of its clock.
    fn is_dropped(&mut self, ahead: u64, lasts: u64, speech: bool) -> bool {
        if ahead < lasts {
            return false;
        }
        if !speech || ahead >= AHEAD_TICKS {
            return true;
        }
        let apart = self.dropped_at.is_none_or(|before| self.next >= before + APART_TICKS);
        let is_due = ahead >= NOTICED_TICKS && apart;
        if is_due {
            self.dropped_at = Some(self.next);
        }
        is_due
    }
}

#[cfg(test)]
pub(super) mod tests;
