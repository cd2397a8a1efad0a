//! What a caller is told when there is no answer: above all, whether something may have been done.

use super::cut::Cut;
use super::frame::Owner;
use super::handshake::HandshakeError;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing was done: not a byte of it left this node. Retry freely.
    #[error("not sent: {0}")]
    NotSent(#[from] NotSent),
    /// Nothing was done: another node owns what the call is about. Retry there.
    #[error("the peer is not the owner; ask the owner, or look again who that is")]
    NotOwner(Option<Owner>),
    /// Nothing was done: the peer is about to leave. Look again who the owner is.
    #[error("the peer is draining; look again who the owner is")]
    Draining,
    /// Nothing was done: the peer has enough to do. Retry later.
    #[error("the peer is overloaded; try again later")]
    Overloaded,
    /// It was sent, and may have been done. Retry only with the same [`OpId`](super::OpId).
    #[error("it is not known whether the call was done: {0}; retry only with the same op id")]
    Unknown(Doubt),
}

impl CallError {
    /// Whether it is certain that the call had no effect.
    pub fn nothing_was_done(&self) -> bool {
        !matches!(self, CallError::Unknown(_))
    }
}

/// Why a call, a notice or a probe was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// There is no connection, or it broke before the first byte.
    #[error("there is no connection to the peer; try again, or another node")]
    Down,
    /// Too many calls wait for answers, or too many bytes to be written.
    #[error("too much is under way to the peer; try again later")]
    Full,
    /// It does not fit into a frame.
    #[error("the payload does not fit into a frame; send it in pieces")]
    TooLong,
    /// Its deadline has passed already.
    #[error("the deadline has passed; give it more time")]
    Late,
}

/// Why it is not known whether a call was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The connection broke before the answer.
    #[error("the connection broke")]
    Reset,
    /// The deadline passed before the answer.
    #[error("no answer in time")]
    TimedOut,
    /// There is an answer, too long for a frame.
    #[error("the answer does not fit into a frame")]
    AnswerTooLong,
}

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody is reached at the address.
    #[error("cannot connect to {address}: {source}; check that the node lives, and the network")]
    Connect {
        /// `host:port`.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Somebody is there, and will not have us, or is not who we look for.
    #[error("{address} is not usable as a peer: {source}")]
    Handshake {
        /// `host:port`.
        address: String,
        /// The cause.
        source: HandshakeError,
    },
    /// There was a connection.
    #[error("the connection to {address} is lost: {source}")]
    Cut {
        /// `host:port`.
        address: String,
        /// The cause.
        source: Cut,
    },
}

impl LinkError {
    /// Whether another start of the node answers than the one that is meant.
    pub fn is_other_generation(&self) -> bool {
        let source = match self {
            LinkError::Handshake { source, .. } => source,
            LinkError::Connect { .. } | LinkError::Cut { .. } => return false,
        };
        matches!(source, HandshakeError::OtherGeneration(_))
    }
}

/// Why a probe failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection could be made.
    #[error("{0}")]
    Down(std::sync::Arc<LinkError>),
    /// The connection broke, or had no room for a probe.
    #[error("{0}")]
    Broken(CallError),
    /// No answer in time.
    #[error("no answer to a probe in time; check that the peer lives, and the network")]
    TimedOut,
}
