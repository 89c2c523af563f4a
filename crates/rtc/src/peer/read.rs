//! Reads a peer's sockets, and gives the datagrams to the session.

use std::time::{Instant, SystemTime};

use str0m::{
    Input,
    net::{DatagramRecv, Protocol, Receive},
};

use super::{Peer, now, sockets::Received};
use crate::Error;

/// Datagrams that are read in one turn: about a millisecond of work. Then the task yields to others on the same thread, even if more datagrams wait.
pub(super) const DATAGRAMS_AT_ONCE: usize = 100;

/// A successful answer to a check (RFC 8489, 5: the message type).
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];

#[expect(clippy::disallowed_methods, reason = "the system dates datagrams by the wall clock")]
fn wall() -> SystemTime {
    SystemTime::now()
}

/// The moment at which the wall clock showed `arrived`, at most `now`, when it shows `wall`. If the wall clock was set in between, it is wrong by that difference.
fn moment(arrived: SystemTime, (now, wall): (Instant, SystemTime)) -> Instant {
    let age = wall.duration_since(arrived).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// Whether a datagram is a packet of media, and not of RTCP, STUN or DTLS (RFC 7983, RFC 5761).
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, kind, ..] if !(192..=223).contains(kind))
}

impl Peer {
    /// Reads up to [`DATAGRAMS_AT_ONCE`] datagrams from the sockets. Returns how many: if so many, more may be waiting.
    pub(super) fn receive(&mut self) -> Result<usize, Error> {
        let (now, wall) = (now(), wall());
        let mut count = 0;
        while count < DATAGRAMS_AT_ONCE
            && let Some(received) = self.sockets.receive(self.datagram.as_mut_slice())?
        {
            let arrived = received.arrived.map_or(now, |arrived| moment(arrived, (now, wall)));
            if count == 0 {
                self.pauses.begin_reading(arrived, now);
            }
            self.give(&received, arrived, now)?;
            count += 1;
        }
        self.drain()?;
        Ok(count)
    }

    /// Gives a datagram to the session.
    fn give(&mut self, received: &Received, arrived: Instant, now: Instant) -> Result<(), Error> {
        let Received { length, source, destination, .. } = *received;
        let arrived = arrived.max(self.latest);
        if self.wake <= arrived {
            // Packets since the session was polled last may have moved its timers.
            self.drain()?;
            if self.wake < arrived {
                self.advance(arrived)?;
            }
        }
        self.latest = arrived;
        let datagram = &self.datagram[..length];
        let (is_answer, is_media) = (datagram.starts_with(&BINDING_SUCCESS), is_media(datagram));
        let Ok(contents) = DatagramRecv::try_from(datagram) else { return Ok(()) };
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        let input = Input::Receive(arrived, receive);
        if !self.rtc.accepts(&input) {
            return Ok(());
        }
        // A connectivity check from an unknown address makes that address a (peer-reflexive) candidate.
        if let Err(why) = self.remotes.add(source) {
            tracing::trace!(%source, %why, "a connectivity check is not answered");
            return Ok(());
        }
        if is_answer {
            self.remotes.answered(source);
        }
        self.last_heard = now;
        if !self.connected {
            self.path.heard(source);
        }
        self.rtc.handle_input(input)?;
        // All media of a reading are polled at once: to look for something to do costs the session more than to take a packet.
        if is_media { Ok(()) } else { self.drain() }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc, time::Duration};

    use super::*;
    use crate::{AudioPacket, Event, Guard, Kind};

    #[tokio::test]
    async fn a_peer_reads_a_bounded_number_of_datagrams_in_one_turn_and_the_rest_in_the_next() {
        let bind = || Peer::bind(Ipv4Addr::LOCALHOST.into(), Guard::everywhere()).unwrap();
        let (mut sender, mut receiver) = (bind(), bind());
        let (tracks, offer) = sender.offer(&[(Kind::Audio, "voice".to_owned())]).unwrap();
        sender.accept_answer(&receiver.accept_offer(&offer).unwrap()).unwrap();
        while !sender.connected || !receiver.connected {
            tokio::select! {
                event = sender.next() => drop(event.unwrap()),
                event = receiver.next() => drop(event.unwrap()),
            }
        }
        // Only the sender is driven.
        for number in 0..150 {
            let packet = AudioPacket {
                rtp_time: number * 960,
                level_dbov: -20,
                voice: true,
                data: Arc::from([0xF8; 3]),
            };
            sender.send_audio(tracks[0], &packet).unwrap();
            let _ = tokio::time::timeout(Duration::ZERO, sender.next()).await;
        }
        receiver.sockets.readable().await.unwrap();
        receiver.events.clear();
        assert_eq!(receiver.receive().unwrap(), DATAGRAMS_AT_ONCE, "more datagrams wait");
        let frames = receiver.events.len();
        assert!((1..=DATAGRAMS_AT_ONCE).contains(&frames), "{frames}");
        while receiver.receive().unwrap() > 0 {}
        let all = receiver.events.iter().filter(|event| matches!(event, Event::Frame(_))).count();
        assert_eq!(all, 150);
    }
}
