//! The errors of a peer.

use str0m::RtcError;

/// A call of a peer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The UDP socket does not work.
    #[error("the UDP socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The other side's session description cannot be used; the session is as it was before.
    #[error("the session description cannot be used: {0}")]
    Description(String),
    /// An answer came without an offer of ours.
    #[error("an answer without an offer")]
    NoOffer,
    /// The track does not exist, or this side does not send on it.
    #[error("no such track to send on: {0}")]
    NoTrack(String),
    /// The data channel does not exist or is not open.
    #[error("no such data channel")]
    NoChannel,
    /// The other side has opened more data channels than are allowed; the session cannot be used any more.
    #[error("the other side has opened too many data channels")]
    TooManyChannels,
    /// The session failed; it cannot be used any more.
    #[error("the WebRTC session: {0}")]
    Session(Box<RtcError>),
}

impl From<RtcError> for Error {
    fn from(error: RtcError) -> Self {
        Self::Session(Box::new(error))
    }
}
