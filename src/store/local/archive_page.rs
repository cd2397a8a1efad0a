//! Reading rows in archive order, out of blocks that overlap where several batches brought rows of one
//! slot.

use std::ops::{Bound, RangeBounds};

use fjall::UserValue;

use super::archive_block::{Block, Slot, Unreadable};
use super::archive_index::BlockKey;
use crate::domain::message::Ended;
use crate::store::archive::ArchiveKey;

/// The rows of blocks that are added in the order of their keys: sorted, each message once.
///
/// Of one slot at a time it holds for every batch `limit` rows and what is with them in a block.
pub(super) struct Page {
    wanted: (Bound<ArchiveKey>, Bound<ArchiveKey>),
    limit: usize,
    /// The rows of the slots before.
    done: Vec<Ended>,
    slot: Slot,
    /// The blocks of the slot that have rows of the page.
    blocks: Vec<UserValue>,
    /// The rows of the slot: their key, which of `blocks` they are in, and which row of it.
    rows: Vec<(ArchiveKey, usize, usize)>,
    /// The batch of the last block, and how many of `rows` are of the batches before.
    batch: (u64, usize),
}

impl Page {
    /// A page of the first `limit` rows with a key that is `wanted`.
    pub(super) fn new(wanted: (Bound<ArchiveKey>, Bound<ArchiveKey>), limit: usize) -> Page {
        Page {
            wanted,
            limit,
            done: Vec::new(),
            slot: Slot(0),
            blocks: Vec::new(),
            rows: Vec::new(),
            batch: (0, 0),
        }
    }

    /// Adds a block.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn add(&mut self, key: BlockKey, value: UserValue) -> Result<(), Unreadable> {
        if self.slot != key.slot {
            self.end_slot()?;
            self.slot = key.slot;
        }
        if self.batch.0 != key.batch {
            self.batch = (key.batch, self.rows.len());
        }
        if self.rows.len() - self.batch.1 >= self.limit {
            return Ok(());
        }
        let (block, of) = (Block::parse(self.slot, &value)?, self.blocks.len());
        let last = block.key(block.len() - 1);
        let (from, to) = self.wanted;
        if (from, Bound::Unbounded).contains(&last)
            && (Bound::Unbounded, to).contains(&block.key(0))
        {
            let rows = (0..block.len()).map(|row| (block.key(row), of, row));
            let wanted = rows.filter(|(key, ..)| (from, to).contains(key));
            self.rows.extend(wanted);
            self.blocks.push(value);
        }
        Ok(())
    }

    /// Whether no block of a later slot can add a row; known when the first one of those was added.
    pub(super) fn is_full(&self) -> bool {
        self.done.len() == self.limit
    }

    /// The rows of the page.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn finish(mut self) -> Result<Vec<Ended>, Unreadable> {
        self.end_slot()?;
        Ok(self.done)
    }

    fn end_slot(&mut self) -> Result<(), Unreadable> {
        self.rows.sort_unstable();
        self.rows.dedup_by_key(|(key, ..)| *key);
        self.rows.truncate(self.limit - self.done.len());
        let mut unpacked = vec![None; self.blocks.len()];
        for (_, of, row) in self.rows.drain(..) {
            let block = Block::parse(self.slot, &self.blocks[of])?;
            if unpacked[of].is_none() {
                unpacked[of] = Some(block.unpack()?);
            }
            let contents = unpacked[of].as_deref().unwrap_or_default();
            self.done.push(block.row(row, contents)?);
        }
        self.blocks.clear();
        self.batch = (0, 0);
        Ok(())
    }
}
