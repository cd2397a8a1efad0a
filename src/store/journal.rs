//! The journal: what happened, in order, durable before anyone is told.

use super::StoreError;
use super::group::{Group, HighWater, Record};
use crate::domain::username::ShardId;

/// A place in a shard's journal: it grows, and everything before the smallest one in use can go. In
/// the embedded journal it is the number of a segment, the same for all shards; in a cluster the epoch
/// and number of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// What became of a group besides that it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Appended {
    /// Shards that were lost meanwhile: whatever rests on their records, or is said of them, must not
    /// be answered, and their memory is to be dropped.
    pub lost: Vec<ShardId>,
}

/// Called for each record of a replay with the place it was found at.
pub type Visit<'a> = dyn FnMut(Position, Record<'_>) -> Result<(), StoreError> + Send + 'a;

/// An append-only record of every shard's events. One committer appends.
pub trait Journal: Send + Sync + 'static {
    /// Makes the group durable, then looks whether its shards, and those that it asks for, are still
    /// this process's own, and tells which are not. After an error nothing of the group may be answered
    /// and nothing more may be appended: the group may or may not be found by a replay. One group is
    /// appended at a time.
    ///
    /// # Errors
    /// [`StoreError::Io`] when a write or its sync failed.
    fn append(&self, group: &Group) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// The place at or after which the next records of the shard go: whoever needs an event of them
    /// found again must not let the journal go beyond this.
    fn position(&self, shard: ShardId) -> Position;

    /// Bytes from one place to the next, if the places are the same for all shards.
    fn place_bytes(&self) -> Option<u64> {
        None
    }

    /// Whether there is room for posts. Without, reads and trims still go through.
    fn has_room(&self) -> bool;

    /// Whether what is appended now would wait for longer than a request can, as nothing gets through.
    fn is_away(&self) -> bool {
        false
    }

    /// Visits the durable records of `shards`, those of one shard in the order they were appended, and
    /// returns a high water at or above that of every record of them ever appended, trimmed ones too. Can be called from
    /// several threads at once, for different shards.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] before anything is visited when acknowledged records are damaged, and
    /// whatever `visit` returns.
    fn replay(
        &self,
        shards: &[ShardId],
        visit: &mut Visit<'_>,
    ) -> impl Future<Output = Result<HighWater, StoreError>> + Send;

    /// Lets go of the shard's records before `base`, which only grows.
    ///
    /// # Errors
    /// [`StoreError::Io`] when letting go failed; the records may come back.
    fn trim(
        &self,
        shard: ShardId,
        base: Position,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
