//! Who owns which shard, as far as this node has heard: by readings of the claims, by signs of life, and by
//! news of peers. The latest epoch counts, by whatever way it came.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::member::{Generation, Member, View};
use cluster::placement::Table;
use cluster::shard::{Epoch, Shard};
use tokio::task::spawn_local;

use super::control::Control;
use super::holdings::Stage;
use super::known::{News, Seen};
use super::request::Sign;
use super::routing::{Owner, Remote};
use crate::domain::username::ShardId;
use crate::store::scylla::Owners;

impl Control {
    /// The claims were read, or most of them; the reading began at `asked`.
    pub fn heard_claims(&self, owners: Owners, asked: Duration) {
        // What the reading before did not show was claimed since that began.
        let since = self.claims_asked.get();
        if owners.unread.is_empty() {
            self.claims_asked.set(asked);
        }
        self.unread
            .borrow_mut()
            .retain(|shard| owners.unread.contains(shard));
        for claim in owners.claims {
            let Some(shard) = ShardId::all().nth(usize::from(claim.shard.0)) else {
                continue;
            };
            let owner = Remote {
                generation: claim.owner.node,
                address: claim.owner.address,
            };
            self.hear_of_since(shard, claim.epoch, &owner.into(), since);
        }
        if self.store_since.get().is_none() {
            self.store_since.set(Some(self.now()));
            self.forgive_all();
        }
    }

    /// Somebody is said to have claimed a shard under this epoch, just now.
    pub fn hear_of(&self, shard: ShardId, epoch: Epoch, owner: &Arc<Remote>) {
        self.hear_of_since(shard, epoch, owner, self.now());
    }

    /// The same, if it is new, at `claimed` or later.
    fn hear_of_since(&self, shard: ShardId, epoch: Epoch, owner: &Arc<Remote>, claimed: Duration) {
        let now = self.now();
        let news = self.known.borrow_mut().hear(shard, epoch, owner, now);
        match news {
            News::Known => {}
            News::Newer => {
                if owner.generation != self.generation() {
                    let mut failures = self.failures.borrow_mut();
                    failures.has_claimed(owner.generation, claimed, now);
                }
                if self.view().member(owner.generation).is_none() {
                    // It is new, or long gone: the registry knows.
                    self.renew.notify_one();
                }
            }
            News::TwoOwners => {
                self.shared.metrics.cluster.two_owners.inc();
                tracing::error!(
                    shard = shard.0,
                    epoch = epoch.0,
                    "two nodes say that they serve a shard under one epoch"
                );
            }
        }
        if owner.generation == self.generation() {
            return;
        }
        let holdings = &self.holdings;
        if holdings.stage(shard) == Stage::Here && holdings.epoch(shard) < epoch {
            spawn_local(holdings.clone().lose(shard));
        }
        let routing = &self.shared.routing;
        routing.learn(shard, epoch, Owner::There(owner.clone()));
    }

    /// Who owns each shard, of those who live and do not neglect it.
    pub fn owners(&self, view: &View, suspects: &[Generation]) -> Table {
        let mut owners = self.known.borrow().owners(Seen {
            view,
            suspects,
            asked: self.registry_asked.get(),
        });
        let unserved = self.unserved.borrow();
        for shard in ShardId::all() {
            let owner = owners.owner(Shard(shard.0));
            let member = owner.and_then(|owner| view.member(owner));
            let is_neglected =
                |owner: &Member| unserved.is_neglected(shard, owner.generation, owner.state);
            if member.is_some_and(is_neglected) {
                owners.set(Shard(shard.0), None);
            }
        }
        owners
    }

    /// Notes which shards a peer owns, and which of them it serves.
    pub(super) fn note_unserved(&self, peer: Generation, sign: &Sign) {
        let served = sign.serves.iter().filter_map(|serves| serves.shard());
        let served: BTreeSet<_> = served.map(|(shard, _)| shard).collect();
        let (known, now) = (self.known.borrow(), Instant::now());
        let mut unserved = self.unserved.borrow_mut();
        for shard in ShardId::all() {
            if known
                .owner(shard)
                .is_some_and(|owner| owner.generation == peer)
            {
                unserved.heard(shard, peer, served.contains(&shard), now);
            }
        }
    }

    /// This node's claim of a shard is not the latest any more; another one that is known may be.
    pub fn forget_own_claim(&self, shard: ShardId) {
        let me = self.generation();
        let mut known = self.known.borrow_mut();
        if known
            .owner(shard)
            .is_some_and(|owner| owner.generation == me)
        {
            known.forget(shard);
        }
        self.read_claims.notify_one();
    }
}
