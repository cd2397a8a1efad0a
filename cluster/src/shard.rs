//! The unit of ownership: its number and the number of each claim to it.

/// A shard of the username space, by number: 0 up to the cluster's count of shards, at most 4,095.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

/// The number of a claim of a shard: it only grows, and what an older owner writes or answers after
/// a newer claim does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);
