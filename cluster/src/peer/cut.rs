//! Why a connection that had been made came to its end.

use std::io;

/// The end of a connection, told by the side that noticed it.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The other side closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// It broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// A frame over the bound was announced.
    #[error("the peer sent a frame over the bound; check that only nodes connect to this port")]
    FrameTooLong,
    /// What was sent makes no sense.
    #[error("the peer sent what is no frame; check that only nodes connect to this port")]
    Garbage,
    /// More calls than were allowed in the handshake.
    #[error("the peer has more calls in flight than it was allowed; check its version")]
    TooManyCalls,
    /// A frame did not become whole in time.
    #[error("the peer began a frame and did not end it in time; check its load and the network")]
    Slow,
    /// What was written is not being read.
    #[error("the peer does not read its answers; check its load and the network")]
    Unread,
    /// Nothing was heard for too long.
    #[error("the peer was silent for too long; check that it lives, and the network")]
    Silent,
}
