//! Media of a meeting: tracks, frames and codecs, independent of the library or web page that receives them. Nothing is decoded.

use std::{
    ops::RangeInclusive,
    str,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// A track of a meeting, by the name that its platform gives it: copied with each frame, so that a frame costs no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TrackId([u8; Self::MOST_BYTES]);

impl TrackId {
    /// A `mid` in an RTP header extension has at most 16 bytes (RFC 8285, section 4.2).
    const MOST_BYTES: usize = 16;

    /// The track with this name, truncated to 16 bytes. Shorter names are padded with zeros, so a name ends before its first zero.
    pub(crate) fn named(name: &str) -> Self {
        let kept = &name.as_bytes()[..name.floor_char_boundary(Self::MOST_BYTES)];
        let mut padded = [0; Self::MOST_BYTES];
        padded[..kept.len()].copy_from_slice(kept);
        Self(padded)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        let bytes = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MOST_BYTES);
        str::from_utf8(&self.0[..bytes]).unwrap_or_default()
    }
}

/// How a frame is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Opus (RFC 6716).
    Opus,
    /// An audio packet behind redundant copies of earlier ones (RFC 2198). The platform extracts the packet: no file holds this format.
    Red,
    /// Uncompressed samples, as some platforms deliver them: no file holds them.
    Pcm,
    /// Samples of 16 bits, little-endian, of one channel at 48 kHz.
    PcmS16le,
    /// VP8 (RFC 6386).
    Vp8,
    /// VP9, in one layer.
    Vp9,
    /// H.264, as NAL units after start codes (annex B).
    H264,
}

impl Codec {
    /// The codec with this lower-case name, as in media types and session descriptions.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "opus" => Self::Opus,
            "red" => Self::Red,
            "l16" => Self::Pcm,
            "vp8" => Self::Vp8,
            "vp9" => Self::Vp9,
            "h264" => Self::H264,
            _ => return None,
        })
    }

    /// Its name in journals and manifests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Pcm => "l16",
            Self::PcmS16le => "pcm_s16le",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::H264 => "h264",
        }
    }

    /// Whether it is a video codec.
    pub(crate) const fn is_video(self) -> bool {
        matches!(self, Self::Vp8 | Self::Vp9 | Self::H264)
    }
}

/// A received frame, as it was sent: an audio packet, or a picture.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The track it came on.
    pub(crate) track: TrackId,
    /// How `data` is encoded.
    pub(crate) codec: Codec,
    /// When it was sampled, by the sender's clock, in units of `clock_rate`: extended so that it does not wrap.
    pub(crate) rtp_time: u64,
    /// Units of `rtp_time` per second.
    pub(crate) clock_rate: u32,
    /// The sequence numbers of its packets, extended so that they do not wrap. Frames come in the order of these numbers; a sender that restarts may begin
    /// at any number.
    pub(crate) sequence: RangeInclusive<u64>,
    /// When it arrived at this machine. It may have been delayed, so this is only an upper bound of the time at which the frame was made.
    pub(crate) arrived: Instant,
    /// How loud it is, in dBov (0 loudest, −127 silence), where the sender reports it (RFC 6464).
    pub(crate) level_dbov: Option<i8>,
    /// Whether there is a voice in it, where the sender or the meeting reports it.
    pub(crate) voice: Option<bool>,
    /// The contributing sources of audio that a server mixed (CSRC, RFC 3550, section 5.1), at most 15. Empty for audio of one person.
    pub(crate) contributing_sources: Vec<u32>,
    /// By how many degrees clockwise a picture must be rotated for display (0, 90, 180 or 270), if this frame carries it (3GPP TS 26.114,
    /// 7.4.5). It holds until the track's next value.
    pub(crate) rotation: Option<u16>,
    /// Whether a decoder can start here.
    pub(crate) keyframe: bool,
    /// False if packets before it were lost.
    pub(crate) contiguous: bool,
    /// The last Sender Report that came before its first packet. A relay may write its own reports: those of Janus carry the time at which the last packet
    /// reached Janus.
    pub(crate) sender_report: Option<SenderReport>,
    /// The frame itself.
    pub(crate) data: Arc<[u8]>,
}

impl Frame {
    /// Whether it is a picture.
    pub(crate) const fn is_picture(&self) -> bool {
        self.codec.is_video()
    }
}

/// Maps a sender's RTP time to its wall clock; it puts several tracks of one sender on one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReport {
    /// The sender's clock.
    pub(crate) ntp: SystemTime,
    /// The RTP time at that moment.
    pub(crate) rtp_time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_known_by_the_first_16_bytes_of_its_name() {
        for (name, kept) in [
            ("", ""),
            ("0", "0"),
            ("0123456789abcdef", "0123456789abcdef"),
            ("0123456789abcdefg", "0123456789abcdef"),
            ("0123456789abcdeé", "0123456789abcde"),
            ("1\0", "1"),
        ] {
            assert_eq!(TrackId::named(name).name(), kept);
            assert_eq!(TrackId::named(name), TrackId::named(kept));
        }
    }

    #[test]
    fn a_codec_has_the_name_by_which_it_is_found() {
        for codec in [Codec::Opus, Codec::Red, Codec::Pcm, Codec::Vp8, Codec::Vp9, Codec::H264] {
            assert_eq!(Codec::named(codec.name()), Some(codec));
        }
        assert_eq!(Codec::named("av1"), None);
    }
}
