//! WebRTC over UDP: a [`Peer`], its tracks, its data channels. Knows no platform.
//!
//! A peer is one session and its UDP sockets, one for each address of this machine from which it reaches the other
//! side. Whoever owns it awaits [`Peer::next`] in a `select!` loop: that call moves everything (ICE, DTLS, RTP, timers)
//! and returns what happened. Nothing runs between calls, so an owner that stops calling it for more than a few hundred
//! milliseconds loses packets to the sockets' buffers.

mod error;
mod event;
mod guard;
mod peer;
mod stun;

pub use error::Error;
pub use event::{Event, Frame, Kind, SenderReport};
pub use guard::Guard;
pub use peer::{
    AudioPacket, Channel, DESCRIPTION_BYTES, DESCRIPTION_TRACKS, Peer, Picture, TrackId,
};

/// What `fuzz/` feeds.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::peer::untrusted::{description, stranger};

    /// What comes back from a STUN server.
    pub fn stun(datagram: &[u8]) {
        let _ = crate::stun::answer(datagram, &[0; 12]);
    }
}
