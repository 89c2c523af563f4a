//! Converts the frames of a WebRTC peer into media of a meeting.

use meetbot_rtc as rtc;

use crate::media::{Codec, Frame, SenderReport, TrackId};

/// A frame of a peer.
pub(crate) type PeerFrame = rtc::Frame;

/// The peer's id of a track.
pub(super) fn track_of_peer(track: TrackId) -> rtc::TrackId {
    rtc::TrackId::from_mid(track.name())
}

impl From<rtc::TrackId> for TrackId {
    fn from(track: rtc::TrackId) -> Self {
        Self::named(track.mid())
    }
}

/// Converts a frame of a peer; `None` for an unsupported codec. The data is shared, not copied.
pub(crate) fn frame(frame: PeerFrame) -> Option<Frame> {
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
        // The peer returns whole frames, without CSRCs.
        contributing_sources: Vec::new(),
        rotation: frame.rotation,
        keyframe: frame.keyframe,
        contiguous: frame.contiguous,
        sender_report,
        data: frame.data,
    })
}
