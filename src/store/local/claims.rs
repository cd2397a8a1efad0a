//! Claims of one machine: whoever holds the directory's lock owns every shard.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::disk::Disk;
use super::lock::DirectoryLock;
use super::locked;
use super::register::Register;
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::claims::{Claims, Epoch};

const EPOCH_MAGIC: &[u8; 8] = b"MAYFLYEP";

/// Owns a data directory and counts its claims.
pub struct LocalClaims {
    epoch: Mutex<Register>,
    _lock: DirectoryLock,
}

impl LocalClaims {
    /// Locks `data_dir` for this process.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Damaged`], [`StoreError::Newer`], [`StoreError::Io`].
    pub fn open(disk: Arc<dyn Disk>, data_dir: &Path) -> Result<LocalClaims, StoreError> {
        let lock = DirectoryLock::take(data_dir)?;
        let path = data_dir.join("epoch");
        let epoch = match Register::open(disk.as_ref(), &path, EPOCH_MAGIC)? {
            Some(epoch) => epoch,
            None => Register::create(disk.as_ref(), &path, EPOCH_MAGIC, 0, 0)?,
        };
        Ok(LocalClaims {
            epoch: Mutex::new(epoch),
            _lock: lock,
        })
    }
}

impl Claims for LocalClaims {
    async fn claim(&self, shards: &[ShardId]) -> Result<Vec<Epoch>, StoreError> {
        let mut epoch = locked(&self.epoch);
        let step = if epoch.is_torn() { 2 } else { 1 };
        let next = epoch.number() + step;
        epoch.set(next)?;
        Ok(vec![Epoch(next); shards.len()])
    }
}
