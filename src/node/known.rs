//! What a node knows of the claims: the latest of each shard that it heard of, by whatever way.

use std::sync::Arc;
use std::time::Duration;

use cluster::member::{Generation, View};
use cluster::placement::Table;
use cluster::shard::{Epoch, Shard};

use super::routing::Remote;
use crate::domain::username::{SHARDS, ShardId};

/// The latest known claim of each shard.
#[derive(Debug)]
pub struct KnownClaims {
    claims: Vec<Option<Claim>>,
}

#[derive(Clone, Debug)]
struct Claim {
    epoch: Epoch,
    owner: Arc<Remote>,
    /// When it was heard of first.
    heard: Duration,
}

/// Who is there, as far as this node knows.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The members.
    pub view: &'a View,
    /// Those who are taken for dead.
    pub suspects: &'a [Generation],
    /// When the registry was asked for the members; `None` before it has answered.
    pub asked: Option<Duration>,
}

impl Seen<'_> {
    /// Whether the owner of a claim is there. One that the registry was not asked about since the claim was heard
    /// of may be new: a node that cannot ask must not take from those who came meanwhile.
    fn has(self, claim: &Claim) -> bool {
        let owner = claim.owner.generation;
        match self.view.member(owner) {
            Some(_) => !self.suspects.contains(&owner),
            None => self.asked.is_none_or(|asked| asked <= claim.heard),
        }
    }
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
    pub fn hear(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        owner: &Arc<Remote>,
        heard: Duration,
    ) -> News {
        let known = &mut self.claims[shard.index()];
        match known {
            Some(claim) if claim.epoch > epoch => News::Known,
            Some(claim) if claim.epoch == epoch => {
                match claim.owner.generation == owner.generation {
                    true => News::Known,
                    false => News::TwoOwners,
                }
            }
            _ => {
                *known = Some(Claim {
                    epoch,
                    owner: owner.clone(),
                    heard,
                });
                News::Newer
            }
        }
    }

    /// Forgets what is known of a shard: it is no longer true, and what is true is not known.
    pub fn forget(&mut self, shard: ShardId) {
        self.claims[shard.index()] = None;
    }

    /// Who made the latest claim of a shard.
    pub fn owner(&self, shard: ShardId) -> Option<&Arc<Remote>> {
        let claim = self.claims[shard.index()].as_ref();
        claim.map(|claim| &claim.owner)
    }

    /// The epoch of the latest claim of a shard; 0 before the first.
    pub fn epoch(&self, shard: ShardId) -> Epoch {
        let claim = self.claims[shard.index()].as_ref();
        claim.map_or(Epoch::default(), |claim| claim.epoch)
    }

    /// Who owns each shard, of those who are there.
    pub fn owners(&self, seen: Seen<'_>) -> Table {
        let mut table = Table::unowned(SHARDS as u16);
        for (shard, claim) in ShardId::all().zip(&self.claims) {
            let claim = claim.as_ref().filter(|claim| seen.has(claim));
            let owner = claim.map(|claim| claim.owner.generation);
            table.set(Shard(shard.0), owner);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use cluster::member::{Member, State};
    use uuid::Uuid;

    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn remote(number: u128) -> Arc<Remote> {
        Arc::new(Remote {
            generation: Generation(Uuid::from_u128(number)),
            address: format!("127.0.0.1:{number}"),
        })
    }

    fn view(members: &[u128]) -> View {
        let members = members.iter().map(|number| Member {
            generation: Generation(Uuid::from_u128(*number)),
            node: format!("node-{number}").parse().expect("a name"),
            address: format!("127.0.0.1:{number}").parse().expect("an address"),
            state: State::Serving,
            version: "0.1.0".parse().expect("a version"),
        });
        View::new(1, members.collect())
    }

    #[test]
    fn the_latest_claim_counts_and_one_epoch_has_one_owner() {
        let (mut claims, shard) = (KnownClaims::default(), SHARD);
        let mut hear =
            |epoch, number| claims.hear(shard, Epoch(epoch), &remote(number), Duration::ZERO);
        assert_eq!(hear(2, 1), News::Newer);
        assert_eq!(hear(2, 1), News::Known);
        assert_eq!(hear(1, 2), News::Known);
        assert_eq!(hear(2, 2), News::TwoOwners);
        assert_eq!(hear(3, 2), News::Newer);
        assert_eq!(claims.epoch(shard), Epoch(3));
        assert_eq!(claims.owner(shard), Some(&remote(2)));
    }

    #[test]
    fn an_owner_that_is_no_member_may_be_new_until_the_registry_was_asked() {
        let (mut claims, ms) = (KnownClaims::default(), Duration::from_millis);
        claims.hear(SHARD, Epoch(2), &remote(7), ms(1_000));
        let owner = |members: &[u128], suspects: &[Generation], asked| {
            let view = view(members);
            let seen = Seen {
                view: &view,
                suspects,
                asked,
            };
            claims.owners(seen).owner(Shard(SHARD.0))
        };
        let seven = Some(remote(7).generation);
        // Nobody was asked, or only before the claim was heard of: another node must not take the shard.
        assert_eq!(owner(&[1], &[], None), seven);
        assert_eq!(owner(&[1], &[], Some(ms(1_000))), seven);
        assert_eq!(owner(&[1], &[], Some(ms(1_001))), None);
        assert_eq!(owner(&[1, 7], &[], Some(ms(1_001))), seven);
        assert_eq!(owner(&[1, 7], &[remote(7).generation], None), None);
    }

    #[test]
    fn a_claim_that_is_heard_of_again_is_not_newer_for_it() {
        let (mut claims, ms) = (KnownClaims::default(), Duration::from_millis);
        claims.hear(SHARD, Epoch(2), &remote(7), ms(1_000));
        claims.hear(SHARD, Epoch(2), &remote(7), ms(3_000));
        let view = view(&[1]);
        let seen = Seen {
            view: &view,
            suspects: &[],
            asked: Some(ms(2_000)),
        };
        assert_eq!(claims.owners(seen).owner(Shard(SHARD.0)), None);
    }
}
