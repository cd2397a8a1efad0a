//! Claims: who may decide for a shard.

use super::StoreError;
use crate::domain::username::ShardId;

/// A number that grows with every claim of a shard: what an older owner writes or answers after a
/// newer claim does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Takes shards for this process.
pub trait Claims: Send + Sync + 'static {
    /// Claims `shards`, each under a new epoch, greater than any under which it was claimed before,
    /// durable before it is returned. The epochs are in the order of the shards. Before a claimed shard
    /// is appended to, it is replayed.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process holds them; [`StoreError::Io`] or
    /// [`StoreError::Scylla`] when a claim could not be made durable.
    fn claim(
        &self,
        shards: &[ShardId],
    ) -> impl Future<Output = Result<Vec<Epoch>, StoreError>> + Send;
}
