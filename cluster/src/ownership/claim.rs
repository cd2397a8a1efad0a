//! The claim row of a shard: who owns it, under which epoch, and which journals it is made of.

use uuid::Uuid;

use crate::member::Generation;
use crate::shard::Epoch;

/// One row for each shard, changed only by compare-and-set on its `claim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// Grows by one with every claim.
    pub epoch: Epoch,
    /// Who holds the claim.
    pub owner: Generation,
    /// Where peers reach the owner, `host:port`.
    pub owner_address: String,
    /// Names this claim alone, so that its claimant knows it again after an ambiguous answer.
    pub claim: Uuid,
    /// How far the claim has come.
    pub state: ClaimState,
    /// Each epoch whose frames are not all trimmed, oldest first, that of this claim last.
    pub chain: Vec<Link>,
    /// Where recovery starts: frames before it never count again.
    pub base: Base,
}

/// How far a claim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// The older journals are not sealed yet; nothing may be written under the new epoch.
    Claimed,
    /// The older journals are sealed.
    Serving,
}

/// One epoch of a shard's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whose frames.
    pub epoch: Epoch,
    /// Who wrote them.
    pub owner: Generation,
    /// The final count of frames, counted from 0; frames at or past it never happened. `None` while
    /// the epoch may still be written.
    pub sealed: Option<u64>,
}

/// A place in a shard's journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// The epoch.
    pub epoch: Epoch,
    /// The frame within the epoch, from 0.
    pub seq: u64,
}

/// What must hold of a row for a change of it to be applied. Every change of a row changes one of
/// these three, and none of them ever returns, so a change that is applied late, or twice, or was
/// made from an older reading of the row, does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No claim was ever made.
    Absent,
    /// The row is still that of this claim, in this state, with this base.
    Claim(Uuid, ClaimState, Base),
}

/// What became of a compare-and-set whose answer arrived; one without an answer may or may not be
/// applied, now or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The row is as wanted.
    Applied,
    /// The row was another one.
    Refused,
}

/// Who claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The node.
    pub node: Generation,
    /// Where peers reach it, `host:port`.
    pub address: String,
}

impl ClaimRow {
    /// The row of the first claim ever made of a shard.
    pub fn first(claimant: &Claimant, claim: Uuid) -> ClaimRow {
        let before = ClaimRow {
            epoch: Epoch::default(),
            owner: claimant.node,
            owner_address: String::new(),
            claim,
            state: ClaimState::Serving,
            chain: Vec::new(),
            base: Base::default(),
        };
        before.claimed_by(claimant, claim)
    }

    /// What must hold for a change that was made from this row.
    pub fn expected(&self) -> Expected {
        Expected::Claim(self.claim, self.state, self.base)
    }

    /// The row after a claim that knows nothing of the owner before: its journal is open still. An epoch
    /// that was only claimed leaves the chain: nothing is written before the seal, which is refused from
    /// now on. So a shard that cannot be recovered does not grow a chain, however often it is claimed.
    pub fn claimed_by(&self, claimant: &Claimant, claim: Uuid) -> ClaimRow {
        let epoch = Epoch(self.epoch.0 + 1);
        let mut chain = self.chain.clone();
        if self.state == ClaimState::Claimed {
            chain.retain(|link| link.epoch != self.epoch);
        }
        chain.push(Link {
            epoch,
            owner: claimant.node,
            sealed: None,
        });
        ClaimRow {
            epoch,
            owner: claimant.node,
            owner_address: claimant.address.clone(),
            claim,
            state: ClaimState::Claimed,
            chain,
            base: self.base,
        }
    }

    /// The row after its claimant has sealed the older epochs at these lengths. Epochs without a
    /// frame leave the chain.
    pub fn serving(&self, lengths: &[(Epoch, u64)]) -> ClaimRow {
        let mut row = self.clone();
        row.state = ClaimState::Serving;
        row.seal(lengths);
        row
    }

    /// The row after a planned hand-off: one change claims the next epoch for `target` and seals the
    /// epoch of the owner, who froze it, at `frames`.
    pub fn handed_to(&self, target: &Claimant, claim: Uuid, frames: u64) -> ClaimRow {
        let mut row = self.claimed_by(target, claim);
        row.state = ClaimState::Serving;
        row.seal(&[(self.epoch, frames)]);
        row
    }

    /// The row after everything before `base` was let go of.
    pub fn trimmed(&self, base: Base) -> ClaimRow {
        let mut row = self.clone();
        row.base = base;
        row.chain.retain(|link| link.epoch >= base.epoch);
        row
    }

    /// The epochs before that of the claim, oldest first.
    pub fn older(&self) -> impl Iterator<Item = &Link> {
        self.chain.iter().filter(|link| link.epoch != self.epoch)
    }

    /// Whom a claimant must fence: the owners of every older epoch that may still be written.
    pub fn open_owners(&self) -> Vec<Generation> {
        let open = self.older().filter(|link| link.sealed.is_none());
        let mut owners: Vec<_> = open.map(|link| link.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The first frame of `epoch` that counts.
    pub fn starts_at(&self, epoch: Epoch) -> u64 {
        if epoch == self.base.epoch {
            self.base.seq
        } else {
            0
        }
    }

    fn seal(&mut self, lengths: &[(Epoch, u64)]) {
        for link in &mut self.chain {
            let length = lengths.iter().find(|(epoch, _)| *epoch == link.epoch);
            if let (None, Some((_, length))) = (link.sealed, length) {
                link.sealed = Some(*length);
            }
        }
        self.chain.retain(|link| link.sealed != Some(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(number: u128) -> Claimant {
        Claimant {
            node: Generation(Uuid::from_u128(number)),
            address: format!("node-{number}:1"),
        }
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn sealed(row: &ClaimRow) -> Vec<(u64, Option<u64>)> {
        let links = row.chain.iter();
        links.map(|link| (link.epoch.0, link.sealed)).collect()
    }

    #[test]
    fn the_first_claim_has_the_first_epoch_and_nobody_to_fence() {
        let row = ClaimRow::first(&claimant(1), id(10));
        assert_eq!((row.epoch, row.state), (Epoch(1), ClaimState::Claimed));
        assert_eq!(sealed(&row), [(1, None)]);
        assert!(row.open_owners().is_empty());
    }

    #[test]
    fn a_claim_fences_the_owner_of_every_open_epoch() {
        let row = ClaimRow::first(&claimant(1), id(10)).serving(&[]);
        // The first epoch is not sealed by this.
        let row = row.claimed_by(&claimant(2), id(11)).serving(&[]);
        let row = row.claimed_by(&claimant(3), id(12));
        assert_eq!(row.open_owners(), [claimant(1).node, claimant(2).node]);
    }

    #[test]
    fn an_epoch_that_was_only_claimed_leaves_the_chain_at_the_next_claim() {
        let mut row = ClaimRow::first(&claimant(1), id(10)).serving(&[]);
        for number in 2..100 {
            row = row.claimed_by(&claimant(number), id(10 + number));
        }
        assert_eq!(sealed(&row), [(1, None), (99, None)]);
        assert_eq!(row.open_owners(), [claimant(1).node]);
    }

    #[test]
    fn a_sealed_epoch_keeps_its_length_and_its_owner_needs_no_fence() {
        let row = ClaimRow::first(&claimant(1), id(10)).serving(&[]);
        let row = row.claimed_by(&claimant(2), id(11));
        let row = row.serving(&[(Epoch(1), 7)]).serving(&[(Epoch(1), 9)]);
        assert_eq!(sealed(&row), [(1, Some(7)), (2, None)]);
        let next = row.claimed_by(&claimant(3), id(12));
        assert_eq!(next.open_owners(), [claimant(2).node]);
    }

    #[test]
    fn an_epoch_without_a_frame_leaves_the_chain() {
        let row = ClaimRow::first(&claimant(1), id(10)).serving(&[]);
        let row = row.claimed_by(&claimant(2), id(11));
        assert_eq!(sealed(&row.serving(&[(Epoch(1), 0)])), [(2, None)]);
    }

    #[test]
    fn a_hand_off_claims_and_seals_at_once() {
        let row = ClaimRow::first(&claimant(1), id(10)).serving(&[]);
        let row = row.handed_to(&claimant(2), id(11), 3);
        assert_eq!(
            (row.owner, row.state),
            (claimant(2).node, ClaimState::Serving)
        );
        assert_eq!(sealed(&row), [(1, Some(3)), (2, None)]);
    }

    #[test]
    fn a_trim_drops_the_epochs_before_the_base_and_changes_what_is_expected() {
        let row = ClaimRow::first(&claimant(1), id(10)).serving(&[]);
        let row = row.handed_to(&claimant(2), id(11), 3);
        let base = Base {
            epoch: Epoch(2),
            seq: 5,
        };
        let trimmed = row.trimmed(base);
        assert_eq!(sealed(&trimmed), [(2, None)]);
        assert_ne!(trimmed.expected(), row.expected());
        assert_eq!(trimmed.starts_at(Epoch(2)), 5);
        assert_eq!(trimmed.starts_at(Epoch(3)), 0);
    }
}
