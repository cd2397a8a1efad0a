//! A shard on its host: the value, and where it stands in its stay there.

use super::value::Shard;
use crate::domain::time::UnixMs;

/// A shard with what its host knows of it.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) shard: Shard,
    /// Tells this stay of the shard from an earlier one on this host.
    pub(super) stay: u64,
    /// Whether endings of it are on their way to the archive.
    pub(super) is_flushing: bool,
    /// Whether it may decide nothing any more, as it is being handed over.
    pub(super) is_frozen: bool,
}

/// In `places`: the shard is not here.
pub(super) const NOWHERE: u16 = u16::MAX;

impl Hosted {
    /// When it has something to expire; never while it may decide nothing.
    pub(super) fn next_due(&self) -> Option<UnixMs> {
        if self.is_frozen {
            return None;
        }
        self.shard.next_due()
    }
}
