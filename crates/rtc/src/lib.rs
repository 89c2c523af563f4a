//! WebRTC over UDP: a [`Peer`], its tracks, its data channels. Knows no platform.
//!
//! A peer is one session and its UDP sockets, one for each address of this machine from which it reaches the other
//! side. Its owner awaits [`Peer::next`] in a `select!` loop: that call drives everything (ICE, DTLS, RTP, timers)
//! and returns the next event. Nothing runs between calls: if the owner does not call it for more than a few hundred
//! milliseconds, the sockets' buffers overflow and packets are lost.

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

/// Entry points for the fuzz targets in `fuzz/`.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::peer::untrusted::{description, session_description};

    /// An answer of a STUN server.
    pub fn stun(datagram: &[u8]) {
        let _ = crate::stun::answer(datagram, &[0; 12]);
    }
}
