//! Claims of shards by compare-and-set, one by one while others are served.

use std::sync::Arc;

use cluster::ownership::claim::ClaimRow;
use cluster::ownership::tenure::Offer;
use cluster::shard::Shard;
use futures_util::future::join_all;

use super::background::Background;
use super::claim_table::ClaimedBy;
use super::error::{CqlError, ScyllaError};
use super::node::Node;
pub use super::seat::Released;
use super::seat::Seat;
use crate::domain::username::{SHARDS, ShardId};
use crate::store::StoreError;
use crate::store::claims::{Claims, Epoch};
use crate::store::group::HighWater;

/// Shards that are claimed at once.
const CLAIMS_AT_ONCE: usize = 32;

/// Takes shards for this process, and gives them away.
pub struct ScyllaClaims {
    node: Arc<Node>,
    on: Arc<Background>,
}

impl ScyllaClaims {
    pub(super) fn new(node: Arc<Node>, on: Arc<Background>) -> ScyllaClaims {
        ScyllaClaims { node, on }
    }

    /// Claims a shard, whoever has it: first the compare-and-set, then the fences. Its older journals
    /// are sealed by a replay, and only then it takes events. A tenure of this process ends.
    ///
    /// # Errors
    /// [`ScyllaError::Superseded`] when another node claimed it at the same time, [`ScyllaError::GivenUp`]
    /// when the store answered nothing of it for long.
    pub async fn claim_shard(&self, shard: ShardId) -> Result<Epoch, ScyllaError> {
        let node = self.node.clone();
        self.on
            .run(async move { claim(&node, Shard(shard.0)).await })
            .await
    }

    /// Whom the claim rows name, of all shards that were ever claimed; good for finding owners. When the
    /// table cannot be read as a whole, each row is read by itself.
    ///
    /// # Errors
    /// [`ScyllaError::Call`] when not one row could be read.
    pub async fn owners(&self) -> Result<Owners, ScyllaError> {
        let node = self.node.clone();
        let owners = self.on.run(async move { owners(&node).await }).await;
        owners.map_err(ScyllaError::of("cannot read the claims"))
    }

    /// Lets go of a shard, whatever is under way: its memory is to be dropped, and it comes back only
    /// by a new claim. Tells how far answers have left.
    pub fn release_shard(&self, shard: ShardId) -> Released {
        let shard = Shard(shard.0);
        let released = self.node.seat(shard).map(|seat| seat.released_frames());
        self.node.unseat(shard);
        released.unwrap_or_default()
    }

    /// Whether the journal of an epoch whose answers have left was sealed before one of them: the promise
    /// is broken then. `None` while it is not sealed.
    ///
    /// # Errors
    /// [`ScyllaError::Call`].
    pub async fn is_sealed_short(
        &self,
        shard: ShardId,
        released: Released,
    ) -> Result<Option<bool>, ScyllaError> {
        let node = self.node.clone();
        let row = async move { node.claims.read(&node.cql, Shard(shard.0)).await };
        let row = self.on.run(row).await;
        let row = row.map_err(ScyllaError::of("cannot read a claim"))?;
        Ok(row.and_then(|row| is_short(&row, released)))
    }

    /// Freezes a shard: what was appended is durable and past the gate, and nothing more can be
    /// appended. The offer goes to the target, with the memory.
    ///
    /// # Errors
    /// [`ScyllaError::Superseded`] and [`ScyllaError::NotHeld`].
    pub async fn freeze_shard(&self, shard: ShardId) -> Result<(Offer, HighWater), ScyllaError> {
        let seat = self.node.seat(Shard(shard.0))?;
        let offer = async move { Ok((seat.freeze().await?, seat.high_water())) };
        self.on.run(offer).await
    }

    /// Takes over a frozen shard by its offer; it takes events at once.
    ///
    /// # Errors
    /// [`ScyllaError::Superseded`] when its owner took it back, or another claimed it.
    pub async fn take_over(
        &self,
        shard: ShardId,
        offer: Offer,
        high_water: HighWater,
    ) -> Result<Epoch, ScyllaError> {
        let (node, shard) = (self.node.clone(), Shard(shard.0));
        let taken = async move {
            let seat = Seat::take_over(&node, shard, &offer, high_water);
            node.seat_anew(shard, seat.clone());
            let serving = seat.until(|progress| progress.serves.is_some()).await?;
            Ok(Epoch(serving.serves.map_or(0, |epoch| epoch.0)))
        };
        self.on.run(taken).await
    }

    /// Takes a frozen shard back under a new epoch: its memory counts again.
    ///
    /// # Errors
    /// [`ScyllaError::Superseded`] when the target has it after all.
    pub async fn take_back(&self, shard: ShardId) -> Result<Epoch, ScyllaError> {
        let seat = self.node.seat(Shard(shard.0))?;
        let taken = async move { Ok(Epoch(seat.take_back().await?.0)) };
        self.on.run(taken).await
    }
}

impl Claims for ScyllaClaims {
    async fn claim(&self, shards: &[ShardId]) -> Result<Vec<Epoch>, StoreError> {
        let mut epochs = Vec::with_capacity(shards.len());
        for shards in shards.chunks(CLAIMS_AT_ONCE) {
            let claims: Vec<_> = shards
                .iter()
                .map(|shard| (self.node.clone(), Shard(shard.0)))
                .map(|(node, shard)| self.on.begin(async move { claim(&node, shard).await }))
                .collect();
            for claim in claims {
                epochs.push(claim.await?);
            }
        }
        Ok(epochs)
    }
}

/// What the claim rows say, as far as they could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Whom they name.
    pub claims: Vec<ClaimedBy>,
    /// The shards whose rows could not be read.
    pub unread: Vec<ShardId>,
}

async fn owners(node: &Arc<Node>) -> Result<Owners, CqlError> {
    let error = match node.claims.owners(&node.cql).await {
        Ok(claims) => {
            let unread = Vec::new();
            return Ok(Owners { claims, unread });
        }
        Err(error) => error,
    };
    let rows = ShardId::all().map(|shard| async move {
        let row = node.claims.owner(&node.cql, Shard(shard.0)).await;
        (shard, row)
    });
    let mut owners = Owners::default();
    for (shard, row) in join_all(rows).await {
        match row {
            Ok(claim) => owners.claims.extend(claim),
            Err(_) => owners.unread.push(shard),
        }
    }
    if owners.unread.len() == SHARDS {
        // Somebody has to notice that the store is away, even if nothing else is asked of it.
        node.probe();
        return Err(error);
    }
    tracing::debug!(%error, unread = owners.unread.len(), "claims could not be read");
    Ok(owners)
}

/// Whether the row seals an epoch before what has left of it. Epochs without a frame are not in the row,
/// and those before the base are not either: these were read in whole before.
fn is_short(row: &ClaimRow, released: Released) -> Option<bool> {
    if row.epoch <= released.epoch {
        return None;
    }
    match row.chain.iter().find(|link| link.epoch == released.epoch) {
        Some(link) => link.sealed.map(|sealed| sealed < released.frames),
        None => Some(released.frames > 0 && row.base.epoch <= released.epoch),
    }
}

async fn claim(node: &Arc<Node>, shard: Shard) -> Result<Epoch, ScyllaError> {
    let seat = Seat::claim(node, shard);
    node.seat_anew(shard, seat.clone());
    let claimed = seat.until(|progress| progress.is_claimed).await?;
    Ok(Epoch(claimed.epoch.0))
}

#[cfg(test)]
mod tests {
    use cluster::ownership::claim::{Base, ClaimState, Link};
    use cluster::shard::Epoch;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_seal_is_short_when_it_leaves_out_a_frame_whose_answer_has_left() {
        let row = |epoch, chain: &[(u64, Option<u64>)], base| ClaimRow {
            epoch: Epoch(epoch),
            owner: cluster::member::Generation(Uuid::nil()),
            owner_address: String::new(),
            claim: Uuid::nil(),
            state: ClaimState::Serving,
            chain: chain
                .iter()
                .map(|(epoch, sealed)| Link {
                    epoch: Epoch(*epoch),
                    owner: cluster::member::Generation(Uuid::nil()),
                    sealed: *sealed,
                })
                .collect(),
            base: Base {
                epoch: Epoch(base),
                seq: 0,
            },
        };
        let released = Released {
            epoch: Epoch(3),
            frames: 7,
            is_given_up: false,
        };
        for (row, expected) in [
            (row(3, &[(3, None)], 3), None),
            (row(4, &[(3, None), (4, None)], 3), None),
            (row(4, &[(3, Some(7)), (4, None)], 3), Some(false)),
            (row(4, &[(3, Some(8)), (4, None)], 3), Some(false)),
            (row(4, &[(3, Some(6)), (4, None)], 3), Some(true)),
            (row(4, &[(4, None)], 3), Some(true)),
            (row(4, &[(4, None)], 4), Some(false)),
        ] {
            assert_eq!(is_short(&row, released), expected, "{row:?}");
        }
    }
}
