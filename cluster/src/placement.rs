//! Placement: which member should own each shard.
//!
//! A pure function of the members and of who owns the shards now, the same on every node. It moves
//! as little as it can: an owner keeps its shards while its load is within a quarter of the mean, and
//! a member that is emptier than that is filled up. Which shard goes where is the ring's choice. Who
//! does own a shard is for the claims to say.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::member::{Generation, Member, State};
use crate::ring::Ring;
use crate::shard::Shard;

/// An owner for each shard of a cluster, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(Vec<Option<Generation>>);

impl Table {
    /// A table of so many shards without owners.
    pub fn unowned(shards: u16) -> Table {
        Table(vec![None; usize::from(shards)])
    }

    /// Who owns a shard; nobody owns one that the cluster does not have.
    pub fn owner(&self, shard: Shard) -> Option<Generation> {
        self.0.get(usize::from(shard.0)).copied().flatten()
    }

    /// Gives a shard to an owner, or to nobody.
    ///
    /// # Panics
    /// When the cluster has no such shard.
    pub fn set(&mut self, shard: Shard, owner: Option<Generation>) {
        self.0[usize::from(shard.0)] = owner;
    }

    /// Every shard with its owner, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Shard, Option<Generation>)> {
        let shards = (0..=u16::MAX).map(Shard);
        shards.zip(self.0.iter().copied())
    }

    /// The shards of one owner, in order.
    pub fn shards_of(&self, owner: Generation) -> impl Iterator<Item = Shard> {
        self.iter()
            .filter(move |(_, found)| *found == Some(owner))
            .map(|(shard, _)| shard)
    }
}

/// A shard whose owner changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which one.
    pub shard: Shard,
    /// Who owns it now.
    pub from: Option<Generation>,
    /// Who should own it; nobody when no member serves.
    pub to: Option<Generation>,
}

/// Who should own each shard of `owners`, given who owns it now. Only serving members get shards; if
/// none serves nobody does.
pub fn place(members: &[Member], owners: &Table) -> Table {
    let serving = || members.iter().filter(|m| m.state == State::Serving);
    let ring = Ring::new(serving());
    let mut placing = Placing::keep(serving().map(|m| m.generation), owners);
    if placing.loads.is_empty() {
        return placing.table;
    }
    let shards = owners.iter().map(|(shard, _)| shard);
    let candidates: Vec<Vec<_>> = shards.map(|s| ring.candidates(s).collect()).collect();
    let bounds = Bounds::new(owners.0.len(), placing.loads.len());
    placing.adopt(&candidates, bounds);
    placing.fill(&candidates, bounds);
    placing.relieve(&candidates, bounds);
    placing.table
}

/// The moves that lead from `owners` to their placement over these members, by shard: what a member
/// that joins or leaves would cost.
pub fn plan(members: &[Member], owners: &Table) -> Vec<Move> {
    let placed = place(members, owners);
    let pairs = owners.iter().zip(placed.iter());
    pairs
        .filter(|((_, from), (_, to))| from != to)
        .map(|((shard, from), (_, to))| Move { shard, from, to })
        .collect()
}

/// How many shards a member may own.
#[derive(Clone, Copy)]
struct Bounds {
    /// With fewer it is filled up to the mean.
    low: usize,
    /// The mean, rounded down.
    mean: usize,
    /// The mean, rounded up: nobody is given more.
    fair: usize,
    /// It keeps as many.
    high: usize,
}

impl Bounds {
    fn new(shards: usize, members: usize) -> Bounds {
        let mean = shards / members;
        Bounds {
            low: (shards * 3).div_ceil(members * 4).min(mean),
            mean,
            fair: shards.div_ceil(members),
            high: (shards * 5).div_ceil(members * 4),
        }
    }
}

/// A placement in the making.
struct Placing {
    table: Table,
    /// The number of shards of each serving member.
    loads: BTreeMap<Generation, usize>,
}

impl Placing {
    /// Every shard stays with its owner if that serves.
    fn keep(serving: impl Iterator<Item = Generation>, owners: &Table) -> Placing {
        let loads = serving.map(|generation| (generation, 0)).collect();
        let mut placing = Placing {
            table: Table::unowned(0),
            loads,
        };
        for owner in &owners.0 {
            let load = owner.and_then(|owner| placing.loads.get_mut(&owner));
            let owner = owner.filter(|_| load.is_some());
            load.into_iter().for_each(|load| *load += 1);
            placing.table.0.push(owner);
        }
        placing
    }

    /// Gives each shard without an owner to the first on the ring who has room for it. The last of
    /// them are kept for those who are too empty, so that nothing else must move for their sake.
    fn adopt(&mut self, candidates: &[Vec<Generation>], bounds: Bounds) {
        let orphans: Vec<_> = self.table.iter().filter(|(_, o)| o.is_none()).collect();
        for (index, (shard, _)) in orphans.iter().enumerate() {
            let loads = self.loads.values();
            let missing: usize = loads.map(|load| bounds.low.saturating_sub(*load)).sum();
            let limit = if orphans.len() - index <= missing {
                bounds.low
            } else {
                bounds.fair
            };
            let mut candidates = candidates[usize::from(shard.0)].iter();
            let owner = candidates
                .find(|candidate| self.loads[candidate] < limit)
                .expect("while a shard has no owner, somebody has fewer than the mean");
            self.give(*shard, *owner);
        }
    }

    /// Fills each member that is too empty up to the mean, from those who have most.
    fn fill(&mut self, candidates: &[Vec<Generation>], bounds: Bounds) {
        let too_empty = self.loads.iter().filter(|(_, load)| **load < bounds.low);
        let too_empty: Vec<_> = too_empty.map(|(member, _)| *member).collect();
        for receiver in too_empty {
            while self.loads[&receiver] < bounds.mean {
                self.shift(self.fullest().0, receiver, candidates);
            }
        }
    }

    /// Takes from each member that has too many what is too much, for those who have fewest.
    fn relieve(&mut self, candidates: &[Vec<Generation>], bounds: Bounds) {
        loop {
            let (donor, load) = self.fullest();
            if load <= bounds.high {
                return;
            }
            let emptiest = self.loads.iter().min_by_key(|(_, load)| **load);
            let (receiver, _) = emptiest.expect("somebody has too many");
            self.shift(donor, *receiver, candidates);
        }
    }

    /// Who owns most, the first of equals.
    fn fullest(&self) -> (Generation, usize) {
        let loads = self.loads.iter().map(|(member, load)| (*member, *load));
        loads
            .max_by_key(|(member, load)| (*load, Reverse(*member)))
            .expect("nobody is placed without members")
    }

    /// Moves that shard of the donor for which the receiver comes first on the ring.
    fn shift(&mut self, donor: Generation, receiver: Generation, candidates: &[Vec<Generation>]) {
        let rank = |shard: &Shard| {
            let candidates = &candidates[usize::from(shard.0)];
            candidates.iter().position(|c| *c == receiver)
        };
        let shard = self.table.shards_of(donor).min_by_key(rank);
        self.give(shard.expect("the fullest has a shard"), receiver);
    }

    fn give(&mut self, shard: Shard, receiver: Generation) {
        let donor = self.table.owner(shard);
        if let Some(load) = donor.and_then(|donor| self.loads.get_mut(&donor)) {
            *load -= 1;
        }
        let load = self.loads.get_mut(&receiver);
        *load.expect("only serving members are given shards") += 1;
        self.table.set(shard, Some(receiver));
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
