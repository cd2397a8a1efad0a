//! A parcel: what goes with a shard that is handed over, as bytes.

use cluster::member::Generation;
use cluster::ownership::claim::{Base, ClaimRow, ClaimState, Link};
use cluster::ownership::tenure::Offer;
use cluster::shard::Epoch;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::wire::{self, Unreadable};
use crate::domain::id::IdStamp;
use crate::domain::time::{PLAUSIBLE_MAX, UnixMs};
use crate::domain::username::ShardId;
use crate::store::group::HighWater;

/// A frozen shard on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Which one.
    pub shard: ShardId,
    /// The claim of its owner, and how far its journal goes.
    pub offer: Offer,
    /// Where its clocks stand.
    pub high_water: HighWater,
}

impl Parcel {
    /// The parcel as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let row = &self.offer.row;
        let link = |link: &Link| (link.epoch.0, link.owner.0, link.sealed);
        wire::encode(&ParcelWire {
            shard: self.shard.0,
            epoch: row.epoch.0,
            owner: row.owner.0,
            owner_address: &row.owner_address,
            claim: row.claim,
            is_serving: row.state == ClaimState::Serving,
            chain: row.chain.iter().map(link).collect(),
            base: (row.base.epoch.0, row.base.seq),
            frames: self.offer.frames,
            at_ms: self.high_water.at.0,
            stamp: (self.high_water.stamp.ms.0, self.high_water.stamp.counter),
        })
    }

    /// Reads a parcel.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn decode(bytes: &[u8]) -> Result<Parcel, Unreadable> {
        let wire: ParcelWire<'_> = wire::decode(bytes)?;
        // A shard cannot count on from the end of what its clocks and its claim row hold.
        if wire.at_ms.max(wire.stamp.0) > PLAUSIBLE_MAX.0 || wire.epoch >= i64::MAX as u64 {
            return Err(Unreadable);
        }
        let shard = ShardId::all().nth(usize::from(wire.shard));
        let link = |(epoch, owner, sealed)| Link {
            epoch: Epoch(epoch),
            owner: Generation(owner),
            sealed,
        };
        let row = ClaimRow {
            epoch: Epoch(wire.epoch),
            owner: Generation(wire.owner),
            owner_address: wire.owner_address.to_owned(),
            claim: wire.claim,
            state: match wire.is_serving {
                true => ClaimState::Serving,
                false => ClaimState::Claimed,
            },
            chain: wire.chain.into_iter().map(link).collect(),
            base: Base {
                epoch: Epoch(wire.base.0),
                seq: wire.base.1,
            },
        };
        Ok(Parcel {
            shard: shard.ok_or(Unreadable)?,
            offer: Offer {
                row,
                frames: wire.frames,
            },
            high_water: HighWater {
                at: UnixMs(wire.at_ms),
                stamp: IdStamp {
                    ms: UnixMs(wire.stamp.0),
                    counter: wire.stamp.1,
                },
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ParcelWire<'a> {
    shard: u16,
    epoch: u64,
    owner: Uuid,
    owner_address: &'a str,
    claim: Uuid,
    is_serving: bool,
    chain: Vec<(u64, Uuid, Option<u64>)>,
    base: (u64, u64),
    frames: u64,
    at_ms: u64,
    stamp: (u64, u16),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel() -> Parcel {
        let link = |epoch, sealed| Link {
            epoch: Epoch(epoch),
            owner: Generation(Uuid::from_u128(7)),
            sealed,
        };
        Parcel {
            shard: ShardId(255),
            offer: Offer {
                row: ClaimRow {
                    epoch: Epoch(9),
                    owner: Generation(Uuid::from_u128(8)),
                    owner_address: String::from("a:1"),
                    claim: Uuid::from_u128(9),
                    state: ClaimState::Serving,
                    chain: vec![link(8, Some(3)), link(9, None)],
                    base: Base {
                        epoch: Epoch(8),
                        seq: 2,
                    },
                },
                frames: 1_000,
            },
            high_water: HighWater {
                at: UnixMs(1_700_000_000_000),
                stamp: IdStamp {
                    ms: UnixMs(1_700_000_000_001),
                    counter: 5,
                },
            },
        }
    }

    #[test]
    fn a_parcel_with_a_time_or_an_epoch_that_cannot_be_is_not_read() {
        let change: [fn(&mut Parcel); 3] = [
            |parcel| parcel.high_water.at.0 = u64::MAX,
            |parcel| parcel.high_water.stamp.ms.0 = PLAUSIBLE_MAX.0 + 1,
            |parcel| parcel.offer.row.epoch.0 = u64::MAX,
        ];
        for change in change {
            let mut parcel = parcel();
            change(&mut parcel);
            assert_eq!(Parcel::decode(&parcel.encode()), Err(Unreadable));
        }
    }

    #[test]
    fn a_parcel_reads_back_as_it_was_sent_and_a_cut_one_not_at_all() {
        let parcel = parcel();
        let bytes = parcel.encode();
        assert_eq!(Parcel::decode(&bytes), Ok(parcel));
        for cut in 0..bytes.len() {
            assert_eq!(Parcel::decode(&bytes[..cut]), Err(Unreadable), "at {cut}");
        }
    }
}
