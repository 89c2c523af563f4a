//! [`Peer`]: one WebRTC session and its UDP sockets.

mod candidates;
mod description;
mod discover;
mod events;
mod path;
mod pause;
mod read;
mod remotes;
mod send;
mod sockets;
mod timer;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use str0m::{
    Input, Output, Rtc, RtcError,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    channel::ChannelId,
    config::CryptoProvider,
    media::{Direction, KeyframeRequestKind, MediaKind, Mid},
    rtp::{Extension, Ssrc},
};

use self::{
    description::{Credentials, unusable},
    path::Path,
    pause::Pauses,
    remotes::Remotes,
    sockets::Sockets,
    timer::Timer,
};
pub use self::{
    description::{DESCRIPTION_BYTES, DESCRIPTION_TRACKS},
    send::{AudioPacket, Picture},
};
use crate::{Error, Event, Guard, Kind};

/// No datagram of WebRTC is larger than an Ethernet frame.
const DATAGRAM_BYTES: usize = 1_600;

/// Audio packets held back for one that is late. Opus is not sent again, so waiting longer gains little.
const AUDIO_REORDERING: usize = 5;

/// How long a packet waits for one that is late.
const AUDIO_REORDERING_WAIT: Duration = Duration::from_millis(200);

/// How often RTCP receiver reports are sent for video. A server may keep no packets for retransmission before the first of them (Janus does so).
const VIDEO_REPORTS: Duration = Duration::from_millis(250);

/// A connection counts as lost after this long without a datagram. Where nothing is sent, only answers to the peer's own connectivity checks arrive. It
/// checks every 3 s, and, once an answer is missing, at 6, 6.5, 7.5, 9.5 and 12.5 s after the last: that many may be lost.
const SILENCE_IS_DISCONNECTED: Duration = Duration::from_secs(13);

/// The RTP header extensions, with their numbers in offers. The transport's sequence numbers are not among them: the session would answer with a report
/// every 50 ms (`docs/decisions/0086-media-are-read-in-pauses.md`).
const EXTENSIONS: [(u8, Extension); 6] = [
    (1, Extension::AudioLevel),
    (2, Extension::AbsoluteSendTime),
    (4, Extension::RtpMid),
    (10, Extension::RtpStreamId),
    (11, Extension::RepairedRtpStreamId),
    (13, Extension::VideoOrientation),
];

/// The largest message of a data channel, announced as `max-message-size`. It is also the default of RFC 8841.
const MOST_MESSAGE_BYTES: u32 = 64 * 1024;

/// Data channels that the other side may open in the life of a peer. The session scans all of them for each message.
const MOST_CHANNELS: usize = 64;

/// A track of a session: its `mid` in the session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId(Mid);

impl TrackId {
    /// The track with this `mid`.
    pub fn from_mid(mid: &str) -> Self {
        Self(Mid::from(mid))
    }

    /// Its `mid`.
    pub fn mid(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A data channel of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel(ChannelId);

/// One side of a WebRTC session. It accepts Opus, VP8 and H.264, and decodes nothing.
pub struct Peer {
    rtc: Rtc,
    sockets: Sockets,
    /// The local address to bind if no candidate of the other side's offer leads to one.
    fallback: Option<IpAddr>,
    path: Path,
    remotes: Remotes,
    /// The credentials in the other side's last description.
    credentials: Option<Credentials>,
    channels: usize,
    datagram: Box<[u8; DATAGRAM_BYTES]>,
    events: VecDeque<Event>,
    /// Tracks that had a malformed frame since their last frame event. The next frame of such a track is not contiguous.
    dropped_frames: HashSet<Mid>,
    /// When the session's next timeout is due.
    wake: Instant,
    timer: Timer,
    pauses: Pauses,
    /// The latest time that was passed to the session: its time must not go back.
    latest: Instant,
    /// The session was changed since it was last polled.
    needs_poll: bool,
    connected: bool,
    /// When the session's last datagram arrived.
    last_heard: Instant,
    pending_offer: Option<SdpPendingOffer>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("addresses", &self.sockets.addresses().collect::<Vec<_>>())
            .field("connected", &self.connected)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "the socket and its timers live on the real clock")]
fn now() -> Instant {
    Instant::now()
}

/// The cryptography provider, created once in a process.
fn crypto() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(str0m::crypto::from_feature_flags())))
}

impl Peer {
    /// A peer on a free UDP port of `ip`, which is the candidate in its offers. It sends only to addresses that `guard` allows.
    pub fn bind(ip: IpAddr, guard: Guard) -> Result<Self, Error> {
        let mut peer = Self::new(None, guard);
        peer.add_socket(ip)?;
        Ok(peer)
    }

    /// A peer that accepts offers: it binds a port of each local address from which it reaches the other side's candidates (at most four), or
    /// of `fallback` if it reaches none of the candidates. Signalling and media may use different addresses. The peer sends only to addresses that
    /// `guard` allows.
    pub fn answering(fallback: IpAddr, guard: Guard) -> Self {
        Self::new(Some(fallback), guard)
    }

    fn new(fallback: Option<IpAddr>, guard: Guard) -> Self {
        let start = now();
        let rtc = EXTENSIONS
            .into_iter()
            .fold(Rtc::builder().clear_extension_map(), |config, (id, extension)| {
                config.set_extension(id, extension)
            })
            .set_crypto_provider(crypto())
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            .set_reordering_size_audio(AUDIO_REORDERING)
            .set_reordering_timeout_audio(Some(AUDIO_REORDERING_WAIT))
            .set_rtcp_report_interval_video(VIDEO_REPORTS)
            .set_sctp_max_message_size(MOST_MESSAGE_BYTES)
            .build(start);
        Self {
            rtc,
            sockets: Sockets::default(),
            fallback,
            path: Path::default(),
            remotes: Remotes::new(guard),
            credentials: None,
            channels: 0,
            datagram: Box::new([0; DATAGRAM_BYTES]),
            events: VecDeque::new(),
            dropped_frames: HashSet::new(),
            wake: start,
            timer: Timer::default(),
            pauses: Pauses::off(start),
            latest: start,
            needs_poll: true,
            connected: false,
            last_heard: start,
            pending_offer: None,
        }
    }

    /// Whether the media path is up.
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Why no media path is up, as far as the peer knows. A text for an operator.
    pub fn why_no_path(&self) -> impl fmt::Display {
        &self.path
    }

    /// Adds tracks to send, each with its kind and stream id. Returns their ids and the offer for the other side, with candidates.
    ///
    /// With no new track, the offer opens the session for a data channel. A second offer before the
    /// first was answered replaces it.
    pub fn offer(
        &mut self,
        new_tracks: &[(Kind, String)],
    ) -> Result<(Vec<TrackId>, String), Error> {
        let mut changes = self.rtc.sdp_api();
        let mut tracks = Vec::with_capacity(new_tracks.len());
        for (kind, stream_id) in new_tracks {
            let mid = changes.add_media(
                match kind {
                    Kind::Audio => MediaKind::Audio,
                    Kind::Video => MediaKind::Video,
                },
                Direction::SendOnly,
                Some(stream_id.clone()),
                None,
                None,
            );
            tracks.push(TrackId(mid));
        }
        if new_tracks.is_empty() && !changes.has_changes() {
            changes.add_channel("data".to_owned());
        }
        let (offer, pending) =
            changes.apply().ok_or_else(|| Error::Description("nothing to offer".to_owned()))?;
        self.pending_offer = Some(pending);
        self.needs_poll = true;
        Ok((tracks, offer.to_sdp_string()))
    }

    /// Opens a data channel. Returns an offer to be sent, or `None` if the session carries data channels already.
    pub fn open_channel(&mut self, label: &str) -> (Channel, Option<String>) {
        let mut changes = self.rtc.sdp_api();
        let channel = Channel(changes.add_channel(label.to_owned()));
        self.needs_poll = true;
        let offer = changes.apply().map(|(offer, pending)| {
            self.pending_offer = Some(pending);
            offer.to_sdp_string()
        });
        (channel, offer)
    }

    /// Applies the other side's answer to the last offer.
    pub fn accept_answer(&mut self, sdp: &str) -> Result<(), Error> {
        let description = description::read(sdp)?;
        let answer = SdpAnswer::from_sdp_string(&description.sdp).map_err(unusable)?;
        let pending = self.pending_offer.take().ok_or(Error::NoOffer)?;
        self.needs_poll = true;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(unusable)?;
        self.take_candidates(description.credentials, &description.candidates);
        Ok(())
    }

    /// Applies the other side's offer and returns the answer, with candidates.
    pub fn accept_offer(&mut self, sdp: &str) -> Result<String, Error> {
        let description = description::read(sdp)?;
        let offer = SdpOffer::from_sdp_string(&description.sdp).map_err(unusable)?;
        self.bind_towards(&description.candidates);
        let mids: Vec<Mid> = sdp
            .lines()
            .filter_map(|line| line.trim().strip_prefix("a=mid:"))
            .map(Mid::from)
            .collect();
        let known: HashSet<_> = mids.iter().filter_map(|mid| self.rtx_ssrcs(*mid)).collect();
        self.needs_poll = true;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(unusable)?;
        self.take_candidates(description.credentials, &description.candidates);
        for mid in mids {
            if let Some(stream) = self.rtx_ssrcs(mid)
                && !known.contains(&stream)
            {
                self.stagger_rtcp(mid, stream)?;
            }
        }
        Ok(answer.to_sdp_string())
    }

    /// The SSRC of a received track and the SSRC of its retransmissions (RTX), if the description announced both.
    fn rtx_ssrcs(&mut self, mid: Mid) -> Option<(Ssrc, Ssrc)> {
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx_by_mid(mid, None)?;
        Some((stream.ssrc(), stream.rtx()?))
    }

    /// Restarts a new stream's RTCP reports at a separate moment. Streams of one offer would otherwise share every compound report, and servers
    /// apply such a report to its first stream only: Janus would then retransmit nothing on the others.
    fn stagger_rtcp(&mut self, mid: Mid, (ssrc, rtx): (Ssrc, Ssrc)) -> Result<(), Error> {
        let mut direct = self.rtc.direct_api();
        direct.remove_stream_rx(ssrc);
        direct.expect_stream_rx(ssrc, Some(rtx), mid, None);
        self.advance(now())
    }

    /// Queues a text message on a data channel; the next [`Peer::next`] sends it.
    pub fn send_text(&mut self, channel: Channel, text: &str) -> Result<(), Error> {
        self.needs_poll = true;
        let written =
            self.rtc.channel(channel.0).ok_or(Error::NoChannel)?.write(false, text.as_bytes())?;
        if written { Ok(()) } else { Err(Error::NoChannel) }
    }

    /// Asks the other side for a keyframe of a track that it sends.
    pub fn request_keyframe(&mut self, track: TrackId) -> Result<(), Error> {
        let mut writer =
            self.rtc.writer(track.0).ok_or_else(|| Error::NoTrack(track.to_string()))?;
        self.needs_poll = true;
        writer.request_keyframe(None, KeyframeRequestKind::Pli).map_err(Error::from)
    }

    /// The next event. This call drives the session: packets are received and sent only while it is awaited.
    ///
    /// It is cancel-safe: dropping the call before it returns loses nothing.
    pub async fn next(&mut self) -> Result<Event, Error> {
        self.interrupt_pause()?;
        loop {
            if self.needs_poll {
                self.needs_poll = false;
                self.advance(now())?;
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let lost = self.last_heard + SILENCE_IS_DISCONNECTED;
            let wake = if self.connected { self.wake.min(lost) } else { self.wake };
            tokio::select! {
                biased;
                readable = self.sockets.readable(), if self.pauses.until.is_none() => {
                    readable?;
                    if self.read()? {
                        tokio::task::yield_now().await;
                    }
                }
                () = self.timer.until(self.pauses.until.unwrap_or(wake)) => {
                    if self.pauses.until.is_none() {
                        let now = now();
                        self.advance(now)?;
                        self.check_for_silence(now);
                    } else if self.read()? {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    /// How many datagrams the system has dropped because a socket's buffer was full, as far as later datagrams have shown.
    pub const fn dropped(&self) -> u64 {
        self.sockets.dropped()
    }

    /// Ends the session. The next packets notify the other side.
    pub fn close(mut self) {
        // Best effort: if the socket is full or closed, the other side waits for its timeout.
        if self.rtc.close().is_ok() {
            let _ = self.drain();
        }
    }

    /// Advances the session to `now`, one due timeout after the other, as if it had been woken in time for each: reports that are due
    /// at different moments then go into different packets.
    fn advance(&mut self, now: Instant) -> Result<(), Error> {
        while self.wake < now {
            let due = self.wake;
            self.rtc.handle_input(Input::Timeout(due))?;
            self.drain()?;
            if self.wake <= due {
                break;
            }
        }
        let now = now.max(self.latest);
        self.latest = now;
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    /// Sends the session's datagrams and queues its events, until it waits for a timeout.
    fn drain(&mut self) -> Result<(), Error> {
        loop {
            let output = match self.rtc.poll_output() {
                // A sender's data is not a valid frame of its codec. The session has dropped it, and continues with the next.
                Err(RtcError::Packet(mid, _, error)) => {
                    tracing::debug!(%mid, %error, "a malformed frame is dropped");
                    self.dropped_frames.insert(mid);
                    continue;
                }
                output => output?,
            };
            match output {
                Output::Timeout(wake) => {
                    self.wake = wake;
                    return Ok(());
                }
                Output::Transmit(datagram) => {
                    let to = datagram.destination;
                    if !self.remotes.knows(to) {
                        tracing::error!(%to, "the session sends to an address that was not allowed; the datagram is dropped");
                        continue;
                    }
                    // UDP may lose it anyway; a full socket must not end the meeting.
                    let sent = self.sockets.send(&datagram.contents, datagram.source, to);
                    if let Err(error) = &sent {
                        tracing::trace!(%error, "a datagram was not sent");
                    }
                    if !self.connected {
                        self.path.sent(to, sent.as_ref().map(drop));
                    }
                }
                Output::Event(event) => self.on_session_event(event),
            }
            if self.channels > MOST_CHANNELS {
                return Err(Error::TooManyChannels);
            }
        }
    }
}
