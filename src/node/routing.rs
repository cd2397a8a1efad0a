//! What a node knows of the owners of shards: a hint that every claim and every refusal corrects.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use cluster::member::Generation;
use cluster::shard::Epoch;
use tokio::sync::watch;

use crate::domain::username::{SHARDS, ShardId};

/// The owners of all shards, as far as they are known.
#[derive(Debug)]
pub struct Routing {
    known: RwLock<Box<[Known]>>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    /// How many requests of this node wait for an owner of each shard.
    waiters: Box<[AtomicU32]>,
}

/// A request that waits for the owner of a shard, until this is dropped.
#[derive(Debug)]
pub struct Waiter<'a>(&'a AtomicU32);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of one shard.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The claim that this is known of; a later one corrects it.
    pub epoch: Epoch,
    /// Who owns the shard.
    pub owner: Owner,
    /// Whether that is only hearsay: any word of a claim counts more.
    pub is_hint: bool,
}

/// Who owns a shard.
#[derive(Clone, Debug, Default)]
pub enum Owner {
    /// Nobody who is known.
    #[default]
    Nobody,
    /// This node, and it serves.
    Here,
    /// Another node.
    There(Arc<Remote>),
}

/// Another node, as a claim names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Which start of it.
    pub generation: Generation,
    /// Where peers reach it, `host:port`.
    pub address: String,
}

impl Default for Routing {
    fn default() -> Routing {
        Routing {
            known: RwLock::new(vec![Known::default(); SHARDS].into()),
            changes: watch::Sender::default(),
            waiters: (0..SHARDS).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl Routing {
    /// Who owns the shard.
    pub fn owner(&self, shard: ShardId) -> Owner {
        self.known(shard).owner
    }

    /// What is known of the shard.
    pub fn known(&self, shard: ShardId) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known[shard.index()].clone()
    }

    /// Notes who owns the shard by the claim `epoch`; an older claim than the known one is no news.
    pub fn learn(&self, shard: ShardId, epoch: Epoch, owner: Owner) {
        let known = &mut self.write()[shard.index()];
        let is_open = known.is_hint || matches!(known.owner, Owner::Nobody);
        if epoch > known.epoch || epoch == known.epoch && is_open {
            *known = Known {
                epoch,
                owner,
                is_hint: false,
            };
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Notes whom somebody who is not the owner takes for it, while nothing better is known.
    pub fn hint(&self, shard: ShardId, there: Remote) {
        let known = &mut self.write()[shard.index()];
        if matches!(known.owner, Owner::Nobody) {
            known.owner = Owner::There(Arc::new(there));
            known.is_hint = true;
        }
    }

    /// Waits until another node than `remote` is known to own the shard.
    pub async fn moved_from(&self, shard: ShardId, remote: &Remote) {
        let mut changes = self.changes.subscribe();
        loop {
            match self.owner(shard) {
                Owner::There(there) if *there != *remote => return,
                Owner::Here => return,
                Owner::There(_) | Owner::Nobody => {}
            }
            // Its sender is this very value.
            let _ = changes.changed().await;
        }
    }

    /// Counts a request that waits for the shard's owner.
    pub fn wait(&self, shard: ShardId) -> Waiter<'_> {
        let waiters = &self.waiters[shard.index()];
        waiters.fetch_add(1, Ordering::Relaxed);
        Waiter(waiters)
    }

    /// How many requests wait for the shard's owner.
    pub fn waiters(&self, shard: ShardId) -> u32 {
        self.waiters[shard.index()].load(Ordering::Relaxed)
    }

    /// Notes that this node serves the shard no more, and who has it now, if that is known.
    pub fn leave(&self, shard: ShardId, owner: Owner) {
        let known = &mut self.write()[shard.index()];
        if matches!(known.owner, Owner::Here) {
            known.owner = owner;
        }
    }

    /// Notes that a node is not the owner, or cannot be reached.
    pub fn doubt(&self, shard: ShardId, remote: &Remote) {
        let known = &mut self.write()[shard.index()];
        if matches!(&known.owner, Owner::There(there) if **there == *remote) {
            known.owner = Owner::Nobody;
        }
    }

    /// How many shards this node serves.
    pub fn here(&self) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let here = known.iter();
        here.filter(|known| matches!(known.owner, Owner::Here))
            .count()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Box<[Known]>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const SHARD: ShardId = ShardId(7);

    fn there(number: u128) -> Arc<Remote> {
        Arc::new(Remote {
            generation: Generation(Uuid::from_u128(number)),
            address: format!("127.0.0.1:{number}"),
        })
    }

    fn owner(routing: &Routing) -> Option<u128> {
        match routing.owner(SHARD) {
            Owner::There(there) => Some(there.generation.0.as_u128()),
            Owner::Here | Owner::Nobody => None,
        }
    }

    #[test]
    fn a_later_claim_is_news_and_an_older_one_is_none() {
        let routing = Routing::default();
        routing.learn(SHARD, Epoch(3), Owner::There(there(3)));
        routing.learn(SHARD, Epoch(2), Owner::There(there(2)));
        routing.learn(SHARD, Epoch(3), Owner::There(there(9)));
        assert_eq!(owner(&routing), Some(3));
        routing.learn(SHARD, Epoch(4), Owner::Here);
        assert!(matches!(routing.owner(SHARD), Owner::Here));
        assert_eq!(routing.here(), 1);
    }

    #[test]
    fn a_doubt_is_of_one_owner_and_the_same_claim_answers_it() {
        let routing = Routing::default();
        routing.learn(SHARD, Epoch(3), Owner::There(there(3)));
        routing.doubt(SHARD, &there(2));
        assert_eq!(owner(&routing), Some(3));
        routing.doubt(SHARD, &there(3));
        assert_eq!(owner(&routing), None);
        routing.learn(SHARD, Epoch(3), Owner::There(there(3)));
        assert_eq!(owner(&routing), Some(3));
    }

    #[test]
    fn a_hint_counts_only_until_a_claim_is_heard_of() {
        let routing = Routing::default();
        routing.learn(SHARD, Epoch(3), Owner::There(there(3)));
        routing.hint(SHARD, there(9).as_ref().clone());
        assert_eq!(owner(&routing), Some(3));
        routing.doubt(SHARD, &there(3));
        routing.hint(SHARD, there(9).as_ref().clone());
        assert_eq!(owner(&routing), Some(9));
        routing.learn(SHARD, Epoch(3), Owner::There(there(3)));
        assert_eq!(owner(&routing), Some(3));
    }

    #[test]
    fn a_request_counts_as_waiting_until_it_ends() {
        let routing = Routing::default();
        let (one, other) = (routing.wait(SHARD), routing.wait(SHARD));
        assert_eq!(routing.waiters(SHARD), 2);
        assert_eq!(routing.waiters(ShardId(8)), 0);
        drop(one);
        assert_eq!(routing.waiters(SHARD), 1);
        drop(other);
        assert_eq!(routing.waiters(SHARD), 0);
    }

    #[test]
    fn who_leaves_a_shard_that_is_not_here_changes_nothing() {
        let routing = Routing::default();
        routing.learn(SHARD, Epoch(3), Owner::There(there(3)));
        routing.leave(SHARD, Owner::Nobody);
        assert_eq!(owner(&routing), Some(3));
    }
}
