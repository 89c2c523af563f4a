//! Sending on a peer's tracks.

use std::sync::Arc;

use str0m::{
    format::{Codec, PayloadParams},
    media::{Frequency, MediaTime, Pt},
    rtp::VideoOrientation,
};

use super::{Peer, TrackId, now};
use crate::Error;

/// One Opus packet to send.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    /// When it plays, in units of 1/48000 s.
    pub rtp_time: u64,
    /// How loud it is in dBov (0 loudest, −127 silence).
    pub level_dbov: i8,
    /// Whether there is a voice in it.
    pub voice: bool,
    /// The packet.
    pub data: Arc<[u8]>,
}

/// One picture to send.
#[derive(Debug, Clone)]
pub struct Picture {
    /// When it is shown, in units of 1/90000 s.
    pub rtp_time: u64,
    /// By how many degrees clockwise it must be rotated for display (0, 90, 180 or 270); `None` sends no rotation.
    pub rotation: Option<u16>,
    /// The picture, in VP8 or, where that was not negotiated, in H.264 (NAL units after start codes).
    pub data: Arc<[u8]>,
}

impl Peer {
    /// Queues one Opus packet; the next [`Peer::next`] sends it. Before the media path is up it is dropped.
    pub fn send_audio(&mut self, track: TrackId, packet: &AudioPacket) -> Result<(), Error> {
        let no_track = || Error::NoTrack(track.to_string());
        let payload_type = self.payload_type(track, Codec::Opus).ok_or_else(no_track)?;
        let writer = self.rtc.writer(track.0).ok_or_else(no_track)?;
        let time = MediaTime::new(packet.rtp_time, Frequency::FORTY_EIGHT_KHZ);
        self.needs_poll = true;
        writer
            .audio_level(packet.level_dbov, packet.voice)
            .write(payload_type, now(), time, Arc::clone(&packet.data))
            .map_err(Error::from)
    }

    /// Queues one picture; the next [`Peer::next`] sends it. Before the media path is up it is dropped.
    pub fn send_picture(&mut self, track: TrackId, picture: &Picture) -> Result<(), Error> {
        let no_track = || Error::NoTrack(track.to_string());
        let vp8 = self.payload_type(track, Codec::Vp8);
        let payload_type = vp8.or_else(|| self.payload_type(track, Codec::H264));
        let mut writer = self.rtc.writer(track.0).ok_or_else(no_track)?;
        if let Some(rotation) = picture.rotation {
            let quarters = [0, 1, 2, 3][usize::from(rotation / 90 % 4)];
            writer = writer.video_orientation(VideoOrientation::from(quarters));
        }
        let time = MediaTime::new(picture.rtp_time, Frequency::NINETY_KHZ);
        self.needs_poll = true;
        let data = Arc::clone(&picture.data);
        writer.write(payload_type.ok_or_else(no_track)?, now(), time, data).map_err(Error::from)
    }

    fn payload_type(&mut self, track: TrackId, codec: Codec) -> Option<Pt> {
        let writer = self.rtc.writer(track.0)?;
        writer.payload_params().find(|params| params.spec().codec == codec).map(PayloadParams::pt)
    }
}
