//! The events that a peer reports to its owner.

use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Instant, SystemTime},
};

use crate::{Channel, TrackId};

/// Something that happened on a peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The media path is up: ICE found a path and DTLS agreed on keys.
    Connected,
    /// The media path is down, for now or for good.
    Disconnected,
    /// The other side has a track that it will send on.
    TrackAdded {
        /// The track.
        track: TrackId,
        /// Audio or video.
        kind: Kind,
    },
    /// A whole frame: an Opus packet, a picture.
    Frame(Frame),
    /// The other side needs a keyframe of a track that this side sends.
    KeyframeWanted {
        /// The track.
        track: TrackId,
    },
    /// A data channel is open.
    ChannelOpen {
        /// The channel.
        channel: Channel,
        /// Its label.
        label: String,
    },
    /// A message on a data channel.
    ChannelData {
        /// The channel.
        channel: Channel,
        /// The message.
        data: Vec<u8>,
    },
    /// A data channel is closed.
    ChannelClosed {
        /// The channel.
        channel: Channel,
    },
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

/// A received frame, as it was sent: nothing is decoded.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The track it came on.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// The codec's name in lower case: `opus`, `vp8`, `h264`.
    pub codec: &'static str,
    /// The RTP time in units of `clock_rate`, extended so that it does not wrap: when the frame was sampled, by the sender's clock.
    pub rtp_time: u64,
    /// Units of `rtp_time` per second.
    pub clock_rate: u32,
    /// The sequence numbers of its packets, extended so that they do not wrap. A frame comes after all with lower numbers; a sender that changes its SSRC
    /// may restart at any number.
    pub sequence: RangeInclusive<u64>,
    /// When its first packet came into the socket, by the system's timestamp (without one: when it was read). The packet may have been delayed at the sender or on
    /// the network, so this is only an upper bound of the time at which the frame was made.
    pub arrived: Instant,
    /// How loud it is in dBov (0 loudest, −127 silence), if the sender reports it (RFC 6464).
    pub level_dbov: Option<i8>,
    /// Whether there is a voice in it, if the sender reports it.
    pub voice: Option<bool>,
    /// By how many degrees clockwise a picture must be rotated for display (0, 90, 180 or 270), if this frame carries it (3GPP TS 26.114,
    /// 7.4.5). Senders may send it with key frames and changes only: it holds until the track's next value.
    pub rotation: Option<u16>,
    /// Whether a decoder can start here.
    pub keyframe: bool,
    /// False if packets before it were lost, or a frame before it was malformed.
    pub contiguous: bool,
    /// The last Sender Report that came before its first packet. A relay may write its own reports: those of Janus carry the time at which the last packet reached Janus.
    pub sender_report: Option<SenderReport>,
    /// The frame itself.
    pub data: Arc<[u8]>,
}

/// Maps a sender's RTP time to its wall clock; it puts several tracks of one sender on one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender's clock.
    pub ntp: SystemTime,
    /// The RTP time at that moment.
    pub rtp_time: u64,
}
