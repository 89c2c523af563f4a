//! What a WebRTC peer receives, as media of a meeting.

use meetbot_rtc as rtc;

use crate::media::{Codec, Frame, SenderReport, TrackId};

/// A peer's name of a track.
pub(super) fn track_of_peer(track: TrackId) -> rtc::TrackId {
    rtc::TrackId::from_mid(track.name())
}

impl From<rtc::TrackId> for TrackId {
    fn from(track: rtc::TrackId) -> Self {
        Self::named(track.mid())
    }
}

/// A frame of a peer; `None` for a codec that is not known here. Its data is shared, not copied.
pub(super) fn frame(frame: rtc::Frame) -> Option<Frame> {
    let sender_report = frame.sender_report.map(|report| {
        let rtc::SenderReport { ntp, rtp_time } = report;
        SenderReport { ntp, rtp_time }
    });
    Some(Frame {
        track: frame.track.into(),
        codec: Codec::named(frame.codec)?,
        rtp_time: frame.rtp_time,
        clock_rate: frame.clock_rate,
        sequence: frame.sequence,
        arrived: frame.arrived,
        level_dbov: frame.level_dbov,
        voice: frame.voice,
        // The peer hands out whole frames, without the headers of their packets.
        contributing_sources: Vec::new(),
        rotation: frame.rotation,
        keyframe: frame.keyframe,
        contiguous: frame.contiguous,
        sender_report,
        data: frame.data,
    })
}
