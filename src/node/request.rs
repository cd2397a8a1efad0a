//! What nodes ask of each other, and what they tell.

use cluster::shard::Epoch;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::wire::{self, Unreadable};
use crate::domain::username::ShardId;

/// One request of a peer, as the payload of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest<'a> {
    /// A call of a shard ([`wire::Call`]).
    Call(&'a [u8]),
    /// A sign of life, with what the asked node knows ([`Sign`]).
    Probe,
    /// Take a frozen shard over ([`super::parcel::Parcel`]); answered with the epoch.
    TakeOver(&'a [u8]),
    /// Pass a call on to this member, whom the asking node does not reach; answered as a call.
    PassOn(Uuid, &'a [u8]),
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

/// What a node tells its peers without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// It serves a shard from now on.
    Serves(Serves),
    /// It takes no more shards, and hands its own over.
    Drains,
}

/// That a node serves a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serves {
    shard: u16,
    epoch: u64,
}

impl Serves {
    /// That the shard is served under this epoch.
    pub fn new(shard: ShardId, epoch: Epoch) -> Serves {
        Serves {
            shard: shard.0,
            epoch: epoch.0,
        }
    }

    /// Which shard, if there is such a one, and the epoch.
    pub fn shard(self) -> Option<(ShardId, Epoch)> {
        let shard = ShardId::all().nth(usize::from(self.shard))?;
        Some((shard, Epoch(self.epoch)))
    }
}

/// What a node tells with a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// The number of its view.
    pub view_number: u64,
    /// Whom it cannot reach.
    pub doubts: Vec<Uuid>,
    /// Whether it has lost the store.
    pub is_store_lost: bool,
    /// Its wall clock, in Unix milliseconds.
    pub wall_ms: u64,
    /// What it serves.
    pub serves: Vec<Serves>,
}
