//! Media sessions: three lanes of audio with the speaker's CSRC in each packet, and data channels. It uses str0m's RTP
//! mode and not the `rtc` crate, which works in frames: frames are sent without CSRCs.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcError,
    change::SdpOffer,
    channel::ChannelId,
    config::CryptoProvider,
    format::{Codec, PayloadParams},
    media::{Direction, MediaKind, Mid, Pt},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpWrite, SeqNo},
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Shared,
    lanes::{LANES, Packet},
    meeting::{Picture, ToPeer},
    scenario::Video,
};

/// The duration of an audio packet.
const PACKET: Duration = Duration::from_millis(20);

/// No datagram of WebRTC is larger than an Ethernet frame.
const DATAGRAM_BYTES: usize = 1_600;

/// The data channel with roster, device outputs and chat.
const COLLECTIONS: &str = "collections";

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the offer cannot be taken: {0}")]
    Offer(#[from] RtcError),
    #[error("the offer has {0} tracks of audio to receive, and not {LANES}")]
    Lanes(usize),
    #[error("the offer has no Opus")]
    NoOpus,
    #[error("there is no socket: {0}")]
    Socket(#[from] std::io::Error),
}

#[expect(clippy::disallowed_methods, reason = "sessions and their timers live on the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn crypto() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(str0m::crypto::from_feature_flags())))
}

/// Runs the meeting's clock, 20 ms at a time. Late ticks are caught up, so that voices keep their length.
pub(crate) async fn keep_time(shared: Shared, stop: CancellationToken) {
    let mut ticks = interval(PACKET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => shared.change(crate::meeting::Meeting::tick),
        }
    }
}

/// A media session.
struct Session {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    shared: Shared,
    lanes: Vec<Mid>,
    sequence: [u64; LANES],
    /// The offset of each lane's clock to the common one.
    ahead: [Option<u32>; LANES],
    /// If the page receives video: the tracks of the camera and of the screen, their payload type, and the packets sent on each.
    pictures: Vec<(Mid, Pt, u64)>,
    opus: Pt,
    red: Option<Pt>,
    collections: Option<ChannelId>,
    /// The channels that the page has opened, by label.
    channels: Vec<(ChannelId, String)>,
    /// The number of the session in the meeting.
    number: u32,
    wake: Instant,
}

/// Answers an offer of the page. [`Running::run`] drives the session until the meeting closes it.
pub(crate) async fn open(offer: &str, shared: Shared) -> Result<(String, Running), Refused> {
    // mDNS names are not resolved; the page's connectivity checks show its address.
    let offer: String =
        offer.split_inclusive('\n').filter(|line| !line.contains(".local ")).collect();
    let offer = SdpOffer::from_sdp_string(&offer).map_err(RtcError::from)?;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    let address = socket.local_addr()?;
    let start = now();
    let mut rtc = Rtc::builder()
        .set_crypto_provider(crypto())
        .clear_codecs()
        .enable_opus(true, true)
        .enable_vp8(true)
        .enable_vp9(true)
        .enable_h264(true)
        .enable_av1(true)
        .set_rtp_mode(true)
        .build(start);
    rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).map_err(RtcError::from)?);
    let answer = rtc.sdp_api().accept_offer(offer)?.to_sdp_string();
    let sent = |kind: MediaKind| -> Vec<Mid> {
        let mids = answer.lines().filter_map(|line| line.trim().strip_prefix("a=mid:"));
        let is_sent = |mid: &Mid| {
            rtc.media(*mid).is_some_and(|media| {
                media.kind() == kind && media.direction() == Direction::SendOnly
            })
        };
        mids.map(Mid::from).filter(is_sent).collect()
    };
    let (lanes, pictures) = (sent(MediaKind::Audio), sent(MediaKind::Video));
    if lanes.len() != LANES {
        return Err(Refused::Lanes(lanes.len()));
    }
    let params = rtc.codec_config().params();
    let opus = params.iter().find(|one| one.spec().codec == Codec::Opus).ok_or(Refused::NoOpus)?;
    let (opus, red) = (opus.pt(), opus.red());
    let codec = match shared.lock().scenario.video {
        Video::Vp8 => Codec::Vp8,
        Video::Vp9 | Video::Vp9Layers => Codec::Vp9,
        Video::H264 => Codec::H264,
        Video::Av1 => Codec::Av1,
    };
    let video = params.iter().find(|one| one.spec().codec == codec).map(PayloadParams::pt);
    let pictures: Vec<_> =
        pictures.into_iter().filter_map(|mid| Some((mid, video?, 4_000))).collect();
    let streams = pictures.iter().filter_map(|(mid, ..)| stream_of(&answer, *mid)).collect();
    let (orders_in, orders) = mpsc::unbounded_channel();
    let number = shared.change(|meeting| meeting.opened_session(orders_in, streams));
    let session = Session {
        rtc,
        socket,
        address,
        lanes,
        sequence: [1_000, 2_000, 3_000],
        ahead: [None; LANES],
        pictures,
        opus,
        red: red.filter(|_| shared.lock().scenario.red),
        shared,
        collections: None,
        channels: Vec::new(),
        number,
        wake: start,
    };
    Ok((answer, Running { session, orders, waiting: Vec::new() }))
}

/// An answered session.
pub(crate) struct Running {
    session: Session,
    orders: mpsc::UnboundedReceiver<ToPeer>,
    /// Messages for a channel that is not open yet.
    waiting: Vec<Vec<u8>>,
}

impl Running {
    /// Drives the session until the meeting closes it.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let number = self.session.number;
        if let Err(error) = self.carry(&stop).await {
            tracing::debug!(%error, number, "a session of the imitation ended");
        }
    }

    async fn carry(&mut self, stop: &CancellationToken) -> Result<(), RtcError> {
        let mut datagram = [0; DATAGRAM_BYTES];
        self.session.drain().await?;
        while self.session.rtc.is_alive() {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                received = self.session.socket.recv_from(&mut datagram) => {
                    let Ok((length, source)) = received else { continue };
                    self.session.receive(source, &datagram[..length])?;
                }
                order = self.orders.recv() => match order {
                    Some(ToPeer::Audio(packet)) => self.session.send(&packet),
                    Some(ToPeer::Picture(picture)) => self.session.show(&picture),
                    Some(ToPeer::Collections(message)) => self.waiting.push(message),
                    Some(ToPeer::Captions(message)) => self.session.caption(&message)?,
                    Some(ToPeer::GoDead) => {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = closed(&mut self.orders) => {}
                        }
                        return Ok(());
                    }
                    Some(ToPeer::Close) | None => {
                        self.session.rtc.close()?;
                        return self.session.drain().await;
                    }
                },
                () = sleep_until(self.session.wake.into()) => {}
            }
            self.session.rtc.handle_input(Input::Timeout(now()))?;
            self.session.drain().await?;
            if let Some(channel) = self.session.collections {
                for message in self.waiting.drain(..) {
                    if let Some(mut channel) = self.session.rtc.channel(channel) {
                        let _ = channel.write(true, &message)?;
                    }
                }
                self.session.drain().await?;
            }
        }
        Ok(())
    }
}

async fn closed(orders: &mut mpsc::UnboundedReceiver<ToPeer>) {
    while !matches!(orders.recv().await, Some(ToPeer::Close) | None) {}
}

impl Session {
    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), RtcError> {
        let Ok(contents) = datagram.try_into() else { return Ok(()) };
        let receive = Receive { proto: Protocol::Udp, source, destination: self.address, contents };
        let input = Input::Receive(now(), receive);
        if self.rtc.accepts(&input) { self.rtc.handle_input(input) } else { Ok(()) }
    }

    /// Sends a packet on the lane's stream, in RED if the scenario wants it and it was negotiated.
    fn send(&mut self, packet: &Packet) {
        let mid = self.lanes[packet.lane];
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else { return };
        let sequence = &mut self.sequence[packet.lane];
        *sequence += 1;
        let (pt, payload) = match self.red {
            Some(red) => (red, in_red(*self.opus, packet)),
            None => (self.opus, packet.opus.to_vec()),
        };
        // Each begins at an arbitrary value; that of the first lane wraps 2 s after its first packet.
        let begins = [u32::MAX - 96_000, 7_919, 1 << 31][packet.lane];
        let ahead = *self.ahead[packet.lane].get_or_insert(begins.wrapping_sub(packet.rtp_time));
        let levels = ExtensionValues {
            audio_level: Some(packet.level_dbov),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let time = packet.rtp_time.wrapping_add(ahead);
        let write = RtpWrite::new(pt, SeqNo::from(*sequence), time, now(), payload)
            .marker(packet.marker)
            .ext_vals(levels)
            .csrc(&packet.csrcs);
        stream.write_rtp(write);
    }

    /// Sends a picture in packets that are smaller than a datagram.
    fn show(&mut self, picture: &Picture) {
        let Some((mid, pt, sequence)) = self.pictures.get_mut(usize::from(picture.is_screen))
        else {
            return;
        };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(*mid, None) else { return };
        let packets = picture.payloads.len();
        for (number, payload) in picture.payloads.iter().enumerate() {
            *sequence += 1;
            let payload = payload.clone();
            let write =
                RtpWrite::new(*pt, SeqNo::from(*sequence), picture.rtp_time, now(), payload)
                    .marker(number + 1 == packets)
                    .nackable(true)
                    .csrc(&[picture.csrc]);
            stream.write_rtp(write);
        }
    }

    /// Records whether a channel for captions is open.
    fn show_captions(&self) {
        let takes = self.channels.iter().any(is_for_captions);
        let number = self.number;
        self.shared.change(|meeting| meeting.takes_captions(number, takes));
    }

    fn caption(&mut self, message: &[u8]) -> Result<(), RtcError> {
        for (id, _) in self.channels.iter().filter(|channel| is_for_captions(channel)) {
            if let Some(mut channel) = self.rtc.channel(*id) {
                let _ = channel.write(true, message)?;
            }
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), RtcError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(wake) => {
                    self.wake = wake;
                    return Ok(());
                }
                Output::Transmit(datagram) => {
                    // UDP may lose it anyway.
                    let _ = self.socket.send_to(&datagram.contents, datagram.destination).await;
                }
                Output::Event(event) => self.note(event),
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => {
                let mut changes = self.rtc.sdp_api();
                changes.add_channel(COLLECTIONS.to_owned());
                // The page's offer had a channel, so another one needs no offer.
                let _ = changes.apply();
            }
            Event::ChannelOpen(id, label) if label == COLLECTIONS => {
                self.collections = Some(id);
                let number = self.number;
                self.shared.change(|meeting| meeting.connected(number));
            }
            Event::ChannelOpen(id, label) => {
                self.channels.push((id, label.clone()));
                self.shared.change(|meeting| meeting.observed.channels.push(label));
                self.show_captions();
            }
            Event::ChannelClose(id) => {
                self.channels.retain(|(known, _)| *known != id);
                self.show_captions();
            }
            Event::ChannelData(data) => {
                if let Some((_, label)) = self.channels.iter().find(|(id, _)| *id == data.id) {
                    let message = (label.clone(), data.data);
                    self.shared.change(|meeting| meeting.observed.messages.push(message));
                }
            }
            Event::KeyframeRequest(_) => {
                self.shared.change(crate::meeting::Meeting::wants_key_frame);
            }
            Event::RtpPacket(packet) => {
                self.shared.change(|meeting| meeting.heard(packet.header.ext_vals.audio_level));
            }
            _ => {}
        }
    }
}

fn is_for_captions((_, label): &(ChannelId, String)) -> bool {
    label.starts_with("captions")
}

/// The id of a track's stream in the page.
fn stream_of(answer: &str, mid: Mid) -> Option<String> {
    let section = answer.split("\r\nm=").find(|section| {
        section.lines().any(|line| line.strip_prefix("a=mid:").is_some_and(|name| *mid == *name))
    })?;
    let stream = section.lines().find_map(|line| line.strip_prefix("a=msid:"))?;
    stream.split(' ').next().map(str::to_owned)
}

/// RFC 2198: the previous packet, if there is one, and then this one.
fn in_red(opus: u8, packet: &Packet) -> Vec<u8> {
    let mut payload = Vec::with_capacity(packet.opus.len() * 2 + 5);
    if let Some(before) = &packet.before {
        // 14 bits of time offset in samples, 10 bits of length.
        let header = (960_u32 << 10) | u32::try_from(before.len()).unwrap_or(0);
        payload.push(0x80 | opus);
        payload.extend_from_slice(&header.to_be_bytes()[1..]);
    }
    payload.push(opus);
    payload.extend_from_slice(packet.before.as_deref().unwrap_or_default());
    payload.extend_from_slice(&packet.opus);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_names_the_repeated_packet_and_ends_with_the_new_one() {
        let packet = Packet {
            lane: 0,
            person: String::new(),
            csrcs: vec![],
            level_dbov: 0,
            marker: false,
            rtp_time: 0,
            opus: Arc::from([7, 8]),
            before: Some(Arc::from([1, 2, 3])),
        };
        // A set bit and the payload type, 960 in 14 bits, 3 in 10 bits.
        assert_eq!(in_red(111, &packet), [0xEF, 0x0F, 0x00, 0x03, 111, 1, 2, 3, 7, 8]);
        assert_eq!(in_red(111, &Packet { before: None, ..packet }), [111, 7, 8]);
    }
}
