//! What a node knows of the claims: the latest of each shard that it heard of, by whatever way.

use std::sync::Arc;

use cluster::member::{Generation, View};
use cluster::placement::Table;
use cluster::shard::{Epoch, Shard};

use super::routing::Remote;
use crate::domain::username::{SHARDS, ShardId};

/// The latest known claim of each shard.
#[derive(Debug)]
pub struct KnownClaims {
    claims: Vec<Option<(Epoch, Arc<Remote>)>>,
}

/// What a claim that was heard of tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Known,
    /// The shard has another claim.
    Newer,
    /// Two nodes have the same epoch: the promise is broken.
    TwoOwners,
}

impl Default for KnownClaims {
    fn default() -> KnownClaims {
        KnownClaims {
            claims: vec![None; SHARDS],
        }
    }
}

impl KnownClaims {
    /// Hears of a claim.
    pub fn hear(&mut self, shard: ShardId, epoch: Epoch, owner: &Arc<Remote>) -> News {
        let known = &mut self.claims[shard.index()];
        match known {
            Some((newer, _)) if *newer > epoch => News::Known,
            Some((same, known)) if *same == epoch => match known.generation == owner.generation {
                true => News::Known,
                false => News::TwoOwners,
            },
            _ => {
                *known = Some((epoch, owner.clone()));
                News::Newer
            }
        }
    }

    /// Forgets what is known of a shard: it is no longer true, and what is true is not known.
    pub fn forget(&mut self, shard: ShardId) {
        self.claims[shard.index()] = None;
    }

    /// The latest claim of a shard.
    pub fn of(&self, shard: ShardId) -> Option<&(Epoch, Arc<Remote>)> {
        self.claims[shard.index()].as_ref()
    }

    /// Who owns each shard of those who live: are in the view, and not suspected.
    pub fn owners(&self, view: &View, suspects: &[Generation]) -> Table {
        let mut table = Table::unowned(SHARDS as u16);
        for (shard, claim) in ShardId::all().zip(&self.claims) {
            let owner = claim.as_ref().map(|(_, owner)| owner.generation);
            let lives = |owner: &Generation| view.member(*owner).is_some();
            let owner = owner.filter(|owner| lives(owner) && !suspects.contains(owner));
            table.set(Shard(shard.0), owner);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_latest_claim_counts_and_one_epoch_has_one_owner() {
        let remote = |number| {
            Arc::new(Remote {
                generation: Generation(Uuid::from_u128(number)),
                address: format!("127.0.0.1:{number}"),
            })
        };
        let (mut claims, shard) = (KnownClaims::default(), ShardId(3));
        assert_eq!(claims.hear(shard, Epoch(2), &remote(1)), News::Newer);
        assert_eq!(claims.hear(shard, Epoch(2), &remote(1)), News::Known);
        assert_eq!(claims.hear(shard, Epoch(1), &remote(2)), News::Known);
        assert_eq!(claims.hear(shard, Epoch(2), &remote(2)), News::TwoOwners);
        assert_eq!(claims.hear(shard, Epoch(3), &remote(2)), News::Newer);
        assert_eq!(claims.of(shard).map(|(epoch, _)| *epoch), Some(Epoch(3)));
    }
}
