//! Translates events of the str0m session into events of its peer.

use std::time::Instant;

use str0m::{
    IceConnectionState,
    format::Codec,
    media::{Direction, MediaData, MediaKind},
    rtp::VideoOrientation,
};

use super::{Channel, Peer, SILENCE_IS_DISCONNECTED, TrackId, now};
use crate::{Event, Frame, Kind, SenderReport};

impl Peer {
    /// Queues the peer's event for an event of the session.
    pub(super) fn on_session_event(&mut self, event: str0m::Event) {
        use str0m::Event as SessionEvent;
        match event {
            SessionEvent::Connected => {
                self.last_heard = now();
                self.set_connected(true);
            }
            SessionEvent::IceConnectionStateChange(IceConnectionState::Disconnected)
            | SessionEvent::Closed => {
                self.set_connected(false);
            }
            SessionEvent::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) if self.rtc.is_connected() => {
                self.set_connected(true);
            }
            SessionEvent::MediaAdded(media) => {
                if matches!(media.direction, Direction::RecvOnly | Direction::SendRecv) {
                    if media.kind == MediaKind::Video {
                        self.pauses.shorten_for_video();
                    }
                    self.events.push_back(Event::TrackAdded {
                        track: TrackId(media.mid),
                        kind: kind(media.kind),
                    });
                }
            }
            SessionEvent::MediaData(mut data) => {
                if !self.dropped_frames.is_empty() {
                    data.contiguous &= !self.dropped_frames.remove(&data.mid);
                }
                self.events.extend(frame(data).map(Event::Frame));
            }
            SessionEvent::KeyframeRequest(request) => {
                self.events.push_back(Event::KeyframeWanted { track: TrackId(request.mid) });
            }
            SessionEvent::ChannelOpen(id, label) => {
                self.channels += 1;
                self.events.push_back(Event::ChannelOpen { channel: Channel(id), label });
            }
            SessionEvent::ChannelData(message) => {
                self.events.push_back(Event::ChannelData {
                    channel: Channel(message.id),
                    data: message.data,
                });
            }
            SessionEvent::ChannelClose(id) => {
                self.events.push_back(Event::ChannelClosed { channel: Channel(id) });
            }
            _ => {}
        }
    }

    /// The next event, if it is a frame that was received already. With it an owner handles what a wake-up has brought at once.
    pub fn received(&mut self) -> Option<Frame> {
        let is_frame = |event: &mut Event| matches!(event, Event::Frame(_));
        match self.events.pop_front_if(|event| !self.needs_poll && is_frame(event))? {
            Event::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    pub(super) fn check_for_silence(&mut self, now: Instant) {
        if self.connected && self.last_heard + SILENCE_IS_DISCONNECTED <= now {
            self.set_connected(false);
        }
    }

    pub(super) fn set_connected(&mut self, connected: bool) {
        if self.connected != connected {
            self.connected = connected;
            self.events.push_back(if connected { Event::Connected } else { Event::Disconnected });
        }
    }
}

const fn kind(kind: MediaKind) -> Kind {
    match kind {
        MediaKind::Audio => Kind::Audio,
        MediaKind::Video => Kind::Video,
    }
}

/// By how many degrees clockwise a picture must be rotated for display. The header counts in quarter turns; the variants' names mean the
/// opposite, the rotation that the sender applied.
const fn degrees(orientation: VideoOrientation) -> u16 {
    orientation as u16 * 90
}

/// `None` for a codec that was not agreed on.
fn frame(data: MediaData) -> Option<Frame> {
    let (kind, codec) = match data.params.spec().codec {
        Codec::Opus => (Kind::Audio, "opus"),
        Codec::Vp8 => (Kind::Video, "vp8"),
        Codec::H264 => (Kind::Video, "h264"),
        _ => return None,
    };
    Some(Frame {
        track: TrackId(data.mid),
        kind,
        codec,
        rtp_time: data.time.numer(),
        clock_rate: data.time.frequency().get(),
        sequence: **data.seq_range.start()..=**data.seq_range.end(),
        arrived: data.network_time,
        level_dbov: data.ext_vals.audio_level,
        voice: data.ext_vals.voice_activity,
        rotation: data.ext_vals.video_orientation.map(degrees),
        keyframe: data.is_keyframe(),
        contiguous: data.contiguous,
        sender_report: data
            .last_sender_info
            .map(|info| SenderReport { ntp: info.ntp_time, rtp_time: info.rtp_time.numer() }),
        data: data.data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_rotated_for_display_by_the_degrees_in_its_header() {
        // R1 and R0 of 3GPP TS 26.114, table 7.2.
        for (bits, clockwise) in [(0b00, 0), (0b01, 90), (0b10, 180), (0b11, 270)] {
            assert_eq!(degrees(VideoOrientation::from(bits)), clockwise, "{bits:02b}");
        }
    }
}
