//! Frames that tests record.

use std::{sync::Arc, time::Instant};

use crate::media::{Codec, Frame, TrackId};

/// A picture of 640 × 480 in VP8, or what follows it.
pub(crate) fn picture(number: u64, keyframe: bool, arrived: Instant) -> Frame {
    let data = [if keyframe { 0x10 } else { 0x11 }, 0, 0, 0x9D, 1, 0x2A, 0x80, 2, 0xE0, 1, 7];
    Frame {
        track: TrackId::named("0"),
        codec: Codec::Vp8,
        rtp_time: number * 3_600,
        clock_rate: 90_000,
        sequence: number..=number,
        arrived,
        level_dbov: None,
        voice: None,
        contributing_sources: Vec::new(),
        rotation: None,
        keyframe,
        contiguous: true,
        sender_report: None,
        data: Arc::from(data),
    }
}

/// 20 ms of speech.
pub(crate) fn sound(number: u64, arrived: Instant) -> Frame {
    Frame {
        codec: Codec::Opus,
        rtp_time: number * 960,
        clock_rate: 48_000,
        level_dbov: Some(-20),
        data: Arc::from([0x08, 1, 2, 3]),
        ..picture(number, false, arrived)
    }
}
