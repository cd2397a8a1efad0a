//! What nodes ask of each other.

use cluster::member::Generation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::wire::{self, Unreadable};

/// One request of a peer, as the payload of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest<'a> {
    /// A call of a shard ([`wire::Call`]).
    Call(&'a [u8]),
    /// A sign of life, with what the asked node knows.
    Probe,
    /// Take a frozen shard over ([`super::hand_over::Parcel`]).
    TakeOver(&'a [u8]),
}

impl<'a> PeerRequest<'a> {
    /// The request as bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn decode(bytes: &'a [u8]) -> Result<PeerRequest<'a>, Unreadable> {
        wire::decode(bytes)
    }
}

/// What a node tells with a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// The number of its view.
    pub view_number: u64,
    /// Whom it cannot reach.
    doubts: Vec<Uuid>,
    /// Whether it has lost the store.
    pub is_store_lost: bool,
    /// Its wall clock, in Unix milliseconds.
    pub wall_ms: u64,
}

impl Sign {
    /// A sign of a node that cannot reach these.
    pub fn new(view_number: u64, doubts: &[Generation], is_store_lost: bool, wall_ms: u64) -> Sign {
        Sign {
            view_number,
            doubts: doubts.iter().map(|doubted| doubted.0).collect(),
            is_store_lost,
            wall_ms,
        }
    }

    /// Whom it cannot reach.
    pub fn doubts(&self) -> Vec<Generation> {
        self.doubts.iter().copied().map(Generation).collect()
    }
}
