//! The valid part of a hostile meeting, which keeps a bot in it: the voice of one person, over real WebRTC.

use std::{net::Ipv4Addr, sync::Arc};

use meetbot_rtc::{AudioPacket, Error, Event, Guard, Kind, Peer, TrackId};

/// 20 ms of silence in Opus.
const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];
const TICKS: u64 = 960;
/// The value of an attribute that means nothing.
const NOTHING: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";

/// The media of one bot: the voice of one person.
pub(super) struct Voice {
    pub(super) peer: Peer,
    pub(super) track: TrackId,
    /// The offer that the bot was given.
    pub(super) offer: String,
    packets: u64,
}

impl Voice {
    pub(super) fn new() -> Result<Self, Error> {
        let mut peer = Peer::bind(Ipv4Addr::LOCALHOST.into(), Guard::everywhere())?;
        let (tracks, offer) = peer.offer(&[(Kind::Audio, "ann".to_owned())])?;
        Ok(Self { peer, track: tracks[0], offer, packets: 0 })
    }

    /// Sends the next 20 ms.
    pub(super) fn speak(&mut self) -> Result<(), Error> {
        if !self.peer.is_connected() {
            return Ok(());
        }
        self.packets += 1;
        let packet = AudioPacket {
            rtp_time: self.packets * TICKS,
            level_dbov: -20,
            voice: true,
            data: Arc::from(SILENCE),
        };
        self.peer.send_audio(self.track, &packet)
    }
}

/// The next event of a peer, where there is one. A broken peer has no more events.
pub(super) async fn next(peer: Option<&mut Peer>) -> Event {
    if let Some(peer) = peer
        && let Ok(event) = peer.next().await
    {
        return event;
    }
    std::future::pending().await
}

/// An offer of at least so many bytes, padded with meaningless attributes, with these candidates.
pub(super) fn padded(offer: &str, bytes: usize, candidates: &[String]) -> String {
    let mut padded = offer.to_owned();
    for candidate in candidates {
        padded.extend(["a=", candidate, "\r\n"]);
    }
    while padded.len() < bytes {
        padded.extend(["a=x-nothing:", NOTHING, "\r\n"]);
    }
    padded
}
