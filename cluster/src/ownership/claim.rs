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

/// What must hold of a row for a change of it to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No claim was ever made.
    Absent,
    /// The row is still that of this claim, in this state.
    Claim(Uuid, ClaimState),
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
