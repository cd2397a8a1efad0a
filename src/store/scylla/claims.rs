//! Claims of shards by compare-and-set, one by one while others are served.

use std::sync::Arc;

use cluster::ownership::tenure::Offer;
use cluster::shard::Shard;

use super::background::Background;
use super::claim_table::ClaimedBy;
use super::error::ScyllaError;
use super::node::Node;
use super::seat::Seat;
use crate::domain::username::ShardId;
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
    /// [`ScyllaError::Superseded`] when another node claimed it at the same time.
    pub async fn claim_shard(&self, shard: ShardId) -> Result<Epoch, ScyllaError> {
        let node = self.node.clone();
        self.on
            .run(async move { claim(&node, Shard(shard.0)).await })
            .await
    }

    /// Whom the claim rows name, of all shards that were ever claimed; good for finding owners.
    ///
    /// # Errors
    /// [`ScyllaError::Call`].
    pub async fn owners(&self) -> Result<Vec<ClaimedBy>, ScyllaError> {
        let node = self.node.clone();
        let owners = async move {
            let owners = node.claims.owners(&node.cql).await;
            node.note(owners.is_ok());
            owners
        };
        let owners = self.on.run(owners).await;
        owners.map_err(ScyllaError::of("cannot read the claims"))
    }

    /// Lets go of a shard, whatever is under way: its memory is to be dropped, and it comes back only
    /// by a new claim.
    pub fn release_shard(&self, shard: ShardId) {
        self.node.unseat(Shard(shard.0));
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

async fn claim(node: &Arc<Node>, shard: Shard) -> Result<Epoch, ScyllaError> {
    let seat = Seat::claim(node, shard);
    node.seat_anew(shard, seat.clone());
    let claimed = seat.until(|progress| progress.is_claimed).await?;
    Ok(Epoch(claimed.epoch.0))
}
