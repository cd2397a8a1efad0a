//! The shards of this node: claimed, recovered, handed to their hosts, and lost.
//!
//! What should be here is for `control` to decide. Whatever happens to a shard happens one after the
//! other: each step begins only at the stage that it is meant for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cluster::shard::Epoch;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::sleep;

use super::forward::Shared;
use super::parcel::Parcel;
use super::routing::Owner;
use crate::domain::username::{SHARDS, ShardId};
use crate::shard::clock::Clock;
use crate::shard::moves::Move;
use crate::shard::recovery::{recover, recover_what_fits};
use crate::shard::spread::Spread;
use crate::shard::usage::Usage;
use crate::shard::value::Shard;
use crate::store::StoreError;
use crate::store::claims;
use crate::store::scylla::{Released, ScyllaStores};

/// How long a host that gives no answer is left alone.
const FORGET_PAUSE: Duration = Duration::from_millis(20);

/// How long and how often the seal of a lost shard is waited for.
const AUDIT_PAUSE: Duration = Duration::from_secs(2);
const AUDIT_TRIES: u32 = 10;

/// Everything that a shard needs to be here.
pub struct Holdings {
    pub(super) stores: Arc<ScyllaStores>,
    pub(super) shared: Arc<Shared>,
    clock: Clock,
    usage: Arc<Usage>,
    spread: Spread,
    stages: RefCell<Vec<Stage>>,
    /// Under which epoch each shard was served here last.
    epochs: RefCell<Vec<Epoch>>,
    stays: Cell<u64>,
    /// Told of every shard that is served from now on.
    arrivals: mpsc::UnboundedSender<(ShardId, Epoch)>,
}

/// How a shard stands with this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not here.
    Away,
    /// It is being claimed, or taken over.
    Arriving,
    /// It is served.
    Here,
    /// It is being handed over.
    Leaving,
    /// It was lost, and something of it may still be on its way to the journal.
    Lost,
}

/// What ends a recovery early.
#[derive(Clone, Copy, Debug)]
enum Bound {
    None,
    /// The memory for messages.
    Memory,
}

/// Why a shard did not come here.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no memory for it.
    #[error("--memory-limit is reached; raise it, or add a node")]
    NoRoom,
    /// It is here, or is leaving, or has not quite gone.
    #[error("the shard has not quite left this node; try again")]
    Busy,
    /// Its host has ended.
    #[error("this process ends")]
    Ending,
}

impl ArrivalError {
    /// Whether the journal of the shard is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, ArrivalError::Store(error) if error.is_damage())
    }
}

impl Holdings {
    /// Nothing is here yet.
    pub fn new(
        stores: Arc<ScyllaStores>,
        shared: Arc<Shared>,
        clock: Clock,
        usage: Arc<Usage>,
        arrivals: mpsc::UnboundedSender<(ShardId, Epoch)>,
    ) -> Holdings {
        Holdings {
            stores,
            shared,
            clock,
            usage,
            spread: Spread::new(rand::random()),
            stages: RefCell::new(vec![Stage::Away; SHARDS]),
            epochs: RefCell::new(vec![Epoch::default(); SHARDS]),
            stays: Cell::new(0),
            arrivals,
        }
    }

    /// How a shard stands.
    pub fn stage(&self, shard: ShardId) -> Stage {
        self.stages.borrow()[shard.index()]
    }

    /// Under which epoch a shard that is here is served.
    pub fn epoch(&self, shard: ShardId) -> Epoch {
        self.epochs.borrow()[shard.index()]
    }

    /// How many shards are at this stage.
    pub fn count(&self, stage: Stage) -> usize {
        let stages = self.stages.borrow();
        stages.iter().filter(|found| **found == stage).count()
    }

    /// Whether no shard is here, or on its way here or away.
    pub fn is_empty(&self) -> bool {
        self.count(Stage::Away) == SHARDS
    }

    /// Whether there is memory for one more shard, as far as can be known before it is here.
    pub fn has_room(&self) -> bool {
        self.usage.has_bytes(1)
    }

    /// Claims a shard, recovers it and serves it; it is arriving from now on. One that does not fit into
    /// memory is given up.
    ///
    /// # Errors
    /// [`ArrivalError`]; the shard is away then.
    pub fn claim(
        self: &Rc<Self>,
        shard: ShardId,
    ) -> impl Future<Output = Result<(), ArrivalError>> + use<> {
        let (holdings, begun) = (self.clone(), self.begin(shard));
        async move {
            begun?;
            let arrived = async {
                let epoch = holdings.stores.claims.claim_shard(shard).await;
                let epoch = epoch.map_err(StoreError::from)?;
                holdings.recover(shard, epoch, Bound::Memory).await
            };
            let arrived = arrived.await;
            holdings.arrive(shard, arrived).await.map(drop)
        }
    }

    /// Takes over a shard that its owner froze, and serves it.
    ///
    /// # Errors
    /// [`ArrivalError`]; the shard is away then.
    pub async fn take_over(&self, parcel: Parcel) -> Result<Epoch, ArrivalError> {
        let Parcel {
            shard,
            offer,
            high_water,
        } = parcel;
        if !self.has_room() {
            return Err(ArrivalError::NoRoom);
        }
        self.begin(shard)?;
        let arrived = async {
            let epoch = self.stores.claims.take_over(shard, offer, high_water).await;
            let epoch = epoch.map_err(StoreError::from)?;
            // It had room, and was offered because it should be here: it stays, whatever it weighs.
            self.recover(shard, epoch, Bound::None).await
        };
        let arrived = arrived.await;
        self.arrive(shard, arrived).await
    }

    /// Looks after a shard that its host found lost, until it may be claimed again.
    pub async fn lose(self: Rc<Self>, shard: ShardId) {
        match self.stage(shard) {
            Stage::Here | Stage::Leaving => self.enter(shard, Stage::Lost),
            Stage::Away | Stage::Arriving | Stage::Lost => return,
        }
        self.shared.routing.leave(shard, Owner::Nobody);
        let released = self.stores.claims.release_shard(shard);
        let metrics = &self.shared.metrics.cluster.moves;
        if released.is_given_up {
            // The store has told why.
            metrics.given_up.inc();
        } else {
            metrics.lost.inc();
            tracing::info!(shard = shard.0, "another node claimed the shard");
        }
        spawn_local(self.clone().audit(shard, released));
        self.forget(shard).await;
    }

    /// Looks whether the next owner has read everything that answers of this one rest on. That it does is
    /// what the protocol is for; here it is seen.
    async fn audit(self: Rc<Self>, shard: ShardId, released: Released) {
        for _ in 0..AUDIT_TRIES {
            sleep(AUDIT_PAUSE).await;
            match self.stores.claims.is_sealed_short(shard, released).await {
                Ok(Some(true)) => {
                    self.shared.metrics.cluster.short_seals.inc();
                    let (shard, epoch) = (shard.0, released.epoch.0);
                    tracing::error!(shard, epoch, "acknowledged messages are lost: report this");
                    return;
                }
                Ok(Some(false)) => return,
                // Not sealed yet, or the store is away.
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Drops the memory of a shard, and waits until nothing of it is on its way to the journal.
    async fn forget(&self, shard: ShardId) {
        loop {
            let (confirmed, waiting) = oneshot::channel();
            self.shared.hosts.tell(shard, Move::Lost(shard, confirmed));
            if waiting.await.is_ok() {
                break;
            }
            // The host is about to end with the process.
            sleep(FORGET_PAUSE).await;
        }
        self.enter(shard, Stage::Away);
    }

    fn begin(&self, shard: ShardId) -> Result<(), ArrivalError> {
        if self.stage(shard) != Stage::Away {
            return Err(ArrivalError::Busy);
        }
        self.enter(shard, Stage::Arriving);
        Ok(())
    }

    /// Reads the shard's journal, away from this thread, which has others to answer.
    async fn recover(
        &self,
        shard: ShardId,
        epoch: claims::Epoch,
        bound: Bound,
    ) -> Result<(Shard, u64, Epoch), StoreError> {
        let (journal, usage) = (self.stores.journal.clone(), self.usage.clone());
        let (now, spread) = (self.clock.now(), self.spread);
        let runtime = tokio::runtime::Handle::current();
        let recovering = spawn_blocking(move || {
            let (journal, shards) = (journal.as_ref(), std::slice::from_ref(&shard));
            match bound {
                Bound::None => runtime.block_on(recover(journal, shards, now, spread, &usage)),
                Bound::Memory => {
                    runtime.block_on(recover_what_fits(journal, shards, now, spread, &usage))
                }
            }
        });
        let mut recovered = recovering.await.expect("a panic ends the process")?;
        let shard = recovered.shards.pop().expect("one was asked for");
        Ok((shard, recovered.unread, Epoch(epoch.0)))
    }

    /// Gives a recovered shard to its host, and tells of it when the host has it.
    async fn arrive(
        &self,
        shard: ShardId,
        arrived: Result<(Shard, u64, Epoch), StoreError>,
    ) -> Result<Epoch, ArrivalError> {
        let (value, unread, epoch) = match arrived {
            Ok(arrived) => arrived,
            Err(error) => {
                self.stores.claims.release_shard(shard);
                self.enter(shard, Stage::Away);
                return Err(error.into());
            }
        };
        self.stays.set(self.stays.get() + 1);
        let metrics = &self.shared.metrics;
        metrics.unread.add(unread as i64);
        let (adopted, waiting) = oneshot::channel();
        let adopt = Move::Adopt(Box::new(value), self.stays.get(), adopted);
        self.shared.hosts.tell(shard, adopt);
        // Before the host has it: from then on it may find it lost.
        self.keep(shard, epoch);
        if waiting.await.is_err() {
            self.stores.claims.release_shard(shard);
            self.enter(shard, Stage::Away);
            return Err(ArrivalError::Ending);
        }
        let is_kept = matches!(self.stage(shard), Stage::Here | Stage::Leaving);
        if is_kept && self.epoch(shard) == epoch {
            self.announce(shard, epoch);
        }
        Ok(epoch)
    }

    /// Notes that a shard that its host has already is served from now on, and has it told.
    pub(super) fn serve(&self, shard: ShardId, epoch: Epoch) {
        self.keep(shard, epoch);
        self.announce(shard, epoch);
    }

    fn keep(&self, shard: ShardId, epoch: Epoch) {
        self.epochs.borrow_mut()[shard.index()] = epoch;
        self.enter(shard, Stage::Here);
    }

    fn announce(&self, shard: ShardId, epoch: Epoch) {
        self.shared.routing.learn(shard, epoch, Owner::Here);
        tracing::debug!(shard = shard.0, epoch = epoch.0, "serving a shard");
        // Whoever tells others ends with this process.
        let _ = self.arrivals.send((shard, epoch));
    }

    pub(super) fn enter(&self, shard: ShardId, stage: Stage) {
        self.stages.borrow_mut()[shard.index()] = stage;
        let here = self.count(Stage::Here) + self.count(Stage::Leaving);
        self.shared.metrics.cluster.owned.set(here as i64);
    }
}
