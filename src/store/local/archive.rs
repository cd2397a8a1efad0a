//! The archive in a `fjall` database: blocks of rows in the order of their end, and an index by id.
//!
//! A batch puts its blocks first and the index behind, so that what the index names is there. A message
//! that two batches brought is in the archive twice, and is read as once. Keyspaces are made by batches
//! only, never by a read.

use std::ops::Bound;
use std::path::Path;
use std::sync::Mutex;

use super::archive_batch::Batch;
use super::archive_block::{Block, Slot};
use super::archive_days::{Days, Kind, archive_error};
use super::archive_index::{self, BlockKey, IndexRow};
use super::archive_page::Page;
use super::archive_recent::RecentRows;
use super::{archive_layout, create_directory, locked};
use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::message::{End, Ended};
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::archive::{Archive, ArchiveKey};

/// Days that the index is kept longer than the rows: at least the longest life of a message.
const INDEX_DAYS_MORE: u32 = 60;

/// Of the memory for what is read, the part for rows; the rest is for the blocks of the database.
const ROWS_SHARE: u64 = 2;

/// The archive of one data directory.
pub struct LocalArchive {
    days: Days,
    /// Rows that were looked up lately.
    recent: RecentRows,
    /// Held while a batch is put: one at a time.
    putting: Mutex<()>,
}

impl LocalArchive {
    /// Opens or makes the archive in `directory`, with so much memory for what is read.
    ///
    /// # Errors
    /// [`StoreError::Archive`], also when another version wrote it, and [`StoreError::Io`].
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<LocalArchive, StoreError> {
        create_directory(directory)?;
        archive_layout::check(directory)?;
        let rows_bytes = cache_bytes / ROWS_SHARE;
        Ok(LocalArchive {
            days: Days::open(&directory.join("days"), cache_bytes - rows_bytes)?,
            recent: RecentRows::new(rows_bytes),
            putting: Mutex::new(()),
        })
    }

    /// Tables in the database: compaction keeps them few.
    pub fn tables(&self) -> usize {
        self.days.tables()
    }

    fn put_now<'a>(&self, messages: impl IntoIterator<Item = &'a Ended>) -> Result<(), StoreError> {
        let batch = Batch::new(messages);
        let _putting = locked(&self.putting);
        let index = self.put_blocks(&batch)?;
        for (day, entries) in batch.entries(&index) {
            self.days.get_or_make(Kind::Index, day)?.ingest(entries)?;
        }
        Ok(())
    }

    /// Puts the blocks of a batch, and tells what belongs into its index, in order.
    fn put_blocks(&self, batch: &Batch<'_>) -> Result<Vec<IndexRow>, StoreError> {
        let mut index = Vec::with_capacity(batch.len());
        for day in batch.days() {
            let keyspace = self.days.get_or_make(Kind::Blocks, day.day)?;
            keyspace.ingest(day.blocks(&mut index))?;
        }
        index.sort_unstable();
        Ok(index)
    }

    fn get_now(&self, id: MessageId) -> Result<Option<Ended>, StoreError> {
        if let Some(ended) = self.recent.get(id) {
            let is_kept = self.days.get(Kind::Blocks, ended.ended_at.day()).is_some();
            return Ok(is_kept.then_some(ended));
        }
        let found = self.look_up(id)?;
        if let Some(ended) = &found {
            self.recent.put(ended);
        }
        Ok(found)
    }

    fn look_up(&self, id: MessageId) -> Result<Option<Ended>, StoreError> {
        let Some(index) = self.days.get(Kind::Index, id.created_at().day()) else {
            return Ok(None);
        };
        let [first, last] = archive_index::entry_keys(id);
        for entry in index.keyspace.range(first..=last) {
            let (key, value) = entry.into_inner().map_err(archive_error)?;
            for block in archive_index::blocks(id, &key, &value).map_err(archive_error)? {
                let found = self.row(block, id)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// The row of a message, if it is in the block.
    fn row(&self, key: BlockKey, id: MessageId) -> Result<Option<Ended>, StoreError> {
        let Some(day) = self.days.get(Kind::Blocks, key.slot.day()) else {
            return Ok(None);
        };
        let value = day.keyspace.get(key.to_bytes()).map_err(archive_error)?;
        let Some(value) = value else {
            return Ok(None);
        };
        let read = || {
            let block = Block::parse(key.slot, &value)?;
            let Some(row) = block.find(id) else {
                return Ok(None);
            };
            block.row(row, &block.unpack()?).map(Some)
        };
        read().map_err(archive_error)
    }

    fn read_together_now(
        &self,
        shard: ShardId,
        read_at: UnixMs,
        range: TakenRange,
        username: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        let place = |id| {
            Bound::Included(ArchiveKey {
                ended_at: read_at,
                shard,
                id,
            })
        };
        let wanted = (place(range.first), place(range.last));
        let slot = Slot::of(read_at);
        let mut page = Page::new(wanted, usize::MAX);
        if let Some(day) = self.days.get(Kind::Blocks, slot.day()) {
            let slots = [slot, Slot(slot.0 + 1)].map(|slot| BlockKey::first(slot).to_bytes());
            for entry in day.keyspace.range(slots[0]..slots[1]) {
                add(&mut page, entry)?;
            }
        }
        let mut together = page.finish().map_err(archive_error)?;
        together.retain(|row| row.end == End::Read && row.username.as_str() == username);
        Ok(together)
    }

    fn list_now(&self, after: Option<ArchiveKey>, limit: usize) -> Result<Vec<Ended>, StoreError> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let first = after.map_or(Slot(0), |after| Slot::of(after.ended_at));
        let mut page = Page::new((behind, Bound::Unbounded), limit);
        'days: for day in self.days.from(Kind::Blocks, first.day()) {
            for entry in day.keyspace.range(BlockKey::first(first).to_bytes()..) {
                add(&mut page, entry)?;
                if page.is_full() {
                    break 'days;
                }
            }
        }
        page.finish().map_err(archive_error)
    }
}

/// Adds a block as the database has it.
fn add(page: &mut Page, entry: fjall::Guard) -> Result<(), StoreError> {
    let (key, value) = entry.into_inner().map_err(archive_error)?;
    let key = BlockKey::parse(&key).map_err(archive_error)?;
    page.add(key, value).map_err(archive_error)
}

impl Archive for LocalArchive {
    async fn put<'a>(
        &self,
        batch: impl IntoIterator<Item = &'a Ended> + Send,
    ) -> Result<(), StoreError> {
        self.put_now(batch)
    }

    async fn get(&self, id: MessageId) -> Result<Option<Ended>, StoreError> {
        self.get_now(id)
    }

    async fn read_together(
        &self,
        shard: ShardId,
        read_at: UnixMs,
        range: TakenRange,
        username: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        self.read_together_now(shard, read_at, range, username)
    }

    async fn list(
        &self,
        after: Option<ArchiveKey>,
        limit: usize,
    ) -> Result<Vec<Ended>, StoreError> {
        self.list_now(after, limit)
    }

    async fn drop_before(&self, before: UnixMs) -> Result<(), StoreError> {
        let day = before.day();
        self.days.drop_before(Kind::Blocks, day)?;
        self.days
            .drop_before(Kind::Index, day.saturating_sub(INDEX_DAYS_MORE))
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
