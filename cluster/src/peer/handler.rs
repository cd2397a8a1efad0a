//! What a node does with what its peers send: given by whoever knows what the payloads mean.

use std::future::Future;
use std::time::Instant;

use bytes::Bytes;

use super::frame::{OpId, Owner};
use super::identity::Peer;
use super::pieces::Piece;

/// Answers calls. For one thread; called in the order in which a peer sent.
pub trait Handler: 'static {
    /// Begins to handle a call. The future is dropped at the deadline, or when the connection ends.
    fn call(&self, peer: &Peer, call: Call) -> impl Future<Output = Answer> + use<Self>;

    /// Takes a notice. It must not wait, nor let notices pile up.
    fn notice(&self, peer: &Peer, payload: Bytes);
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation: a call with the same one is the same call, tried again.
    pub op: OpId,
    /// When the caller gives up, by this machine's clock.
    pub deadline: Instant,
    /// Its place, if it is one piece of a row.
    pub piece: Option<Piece>,
    /// Its bytes, which share a buffer with others: copy what is kept for long.
    pub payload: Bytes,
}

/// What a call is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done(Bytes),
    /// Nothing was done: somebody else owns it.
    NotOwner(Option<Owner>),
    /// Nothing was done: this node is about to leave.
    Draining,
    /// Nothing was done: there is too much to do.
    Overloaded,
}
