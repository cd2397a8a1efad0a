//! Hands a shard over to another node: frozen, offered, taken, and forgotten here.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::ownership::tenure::Offer;
use cluster::peer::OpId;
use cluster::peer::client::PeerClient;
use cluster::shard::Epoch;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::holdings::{Holdings, Stage};
use super::parcel::Parcel;
use super::request::PeerRequest;
use super::routing::{Owner, Remote};
use super::wire;
use crate::domain::username::ShardId;
use crate::shard::moves::Move;
use crate::store::group::HighWater;

/// How long what the shard decided before may take to become durable.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the target may take before the shard is taken back.
const TARGET_TIMEOUT: Duration = Duration::from_secs(3);

/// What became of a hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// The target serves the shard under this epoch.
    There(Epoch),
    /// Another node has it.
    Gone,
    /// It is served here, as before.
    Stayed,
}

impl Holdings {
    /// Hands a shard over to the peer behind `client`. From now on requests for it wait. If the target
    /// stalls it is taken back, under a new epoch.
    pub fn hand_over(
        self: &Rc<Self>,
        shard: ShardId,
        to: Arc<Remote>,
        client: PeerClient,
    ) -> impl Future<Output = HandedOver> + use<> {
        let holdings = self.clone();
        let is_here = self.stage(shard) == Stage::Here;
        if is_here {
            self.enter(shard, Stage::Leaving);
        }
        async move {
            if !is_here {
                return HandedOver::Stayed;
            }
            let started = Instant::now();
            let moved = holdings.move_to(shard, to, &client).await;
            let metrics = &holdings.shared.metrics.cluster.moves;
            metrics.freeze.observe(started.elapsed().as_secs_f64());
            match moved {
                HandedOver::There(_) => metrics.handed_over.inc(),
                HandedOver::Gone | HandedOver::Stayed => metrics.failed.inc(),
            }
            moved
        }
    }

    async fn move_to(&self, shard: ShardId, to: Arc<Remote>, client: &PeerClient) -> HandedOver {
        let (offer, high_water) = match self.freeze(shard).await {
            Ok(frozen) => frozen,
            Err(moved) => return moved,
        };
        let parcel = Parcel {
            shard,
            offer,
            high_water,
        };
        match offer_to(client, &parcel).await {
            Some(epoch) => {
                self.leave(shard, epoch, Owner::There(to));
                HandedOver::There(epoch)
            }
            // The target may have taken it: the claim alone tells who has it.
            None => self.take_back(shard).await,
        }
    }

    /// Freezes a shard, at its host and then in its journal. An error tells what became of it instead.
    async fn freeze(&self, shard: ShardId) -> Result<(Offer, HighWater), HandedOver> {
        let (settled, waiting) = oneshot::channel();
        self.shared.hosts.tell(shard, Move::Freeze(shard, settled));
        match timeout(SETTLE_TIMEOUT, waiting).await {
            Ok(Ok(())) => {}
            // The store is slow, or the host lost the shard, and tells so in its own way. Nothing was
            // offered yet.
            Ok(Err(_)) | Err(_) => {
                self.thaw(shard);
                return Err(HandedOver::Stayed);
            }
        }
        match self.stores.claims.freeze_shard(shard).await {
            Ok(offered) => Ok(offered),
            Err(error) => {
                tracing::info!(shard = shard.0, %error, "a shard was lost while it was frozen");
                self.leave(shard, Epoch::default(), Owner::Nobody);
                Err(HandedOver::Gone)
            }
        }
    }

    /// Claims the shard back, unless another node has it after all.
    async fn take_back(&self, shard: ShardId) -> HandedOver {
        match self.stores.claims.take_back(shard).await {
            Ok(epoch) => {
                tracing::info!(
                    shard = shard.0,
                    "took a shard back that its target did not take"
                );
                self.thaw(shard);
                self.serve(shard, Epoch(epoch.0));
                HandedOver::Stayed
            }
            Err(_) => {
                self.leave(shard, Epoch::default(), Owner::Nobody);
                HandedOver::Gone
            }
        }
    }

    fn thaw(&self, shard: ShardId) {
        if self.stage(shard) == Stage::Leaving {
            self.enter(shard, Stage::Here);
            self.shared.hosts.tell(shard, Move::Thaw(shard));
        }
    }

    /// Forgets a shard that was frozen: nothing of it is on its way any more. Who waits for it is sent
    /// on.
    fn leave(&self, shard: ShardId, epoch: Epoch, owner: Owner) {
        if self.stage(shard) != Stage::Leaving {
            return;
        }
        self.shared.routing.leave(shard, Owner::Nobody);
        self.shared.routing.learn(shard, epoch, owner);
        self.shared.hosts.tell(shard, Move::Release(shard));
        self.stores.claims.release_shard(shard);
        self.enter(shard, Stage::Away);
    }
}

/// Offers a shard; the epoch under which the target serves it, or `None` if that is not known.
async fn offer_to(client: &PeerClient, parcel: &Parcel) -> Option<Epoch> {
    let parcel = parcel.encode();
    let request = PeerRequest::TakeOver(&parcel).encode();
    let deadline = Instant::now() + TARGET_TIMEOUT;
    let answer = client
        .call(OpId::from(Uuid::new_v4()), &request, deadline)
        .await;
    let epoch = answer.ok().and_then(|bytes| wire::decode(&bytes).ok());
    epoch.map(Epoch)
}
