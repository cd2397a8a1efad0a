//! The index of the archive: which block holds the message with an id. Bytes only.
//!
//! An entry has the rows of one batch whose ids were made in the same few milliseconds, a bucket:
//!
//! ```text
//! key   = bucket u64 | batch u64                                                   big-endian
//! value = for every row, in this order: end of the id u32 | slot of its end - slot of its bucket i32
//!         | number of the block u32                                             little-endian
//! ```
//! So a look-up reads as many entries as batches hold rows of its bucket.

use super::archive_block::{Slot, Unreadable};
use super::preamble::u32_at;
use crate::domain::id::MessageId;
use crate::domain::time::UnixMs;
use crate::store::archive::ArchiveKey;

/// Milliseconds of a bucket: longer ones make fewer entries, shorter ones bound what a look-up reads
/// when messages of one bucket end one by one. Days are whole numbers of buckets.
const BUCKET_MS: u64 = 16;

/// Length of a block's key.
pub(super) const BLOCK_KEY_BYTES: usize = 20;

/// Length of an entry's key.
pub(super) const ENTRY_KEY_BYTES: usize = 16;

const ROW_BYTES: usize = 12;

/// Which block: blocks sort by slot, then batch, then archive order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockKey {
    /// When its rows ended.
    pub slot: Slot,
    /// The batch that brought it.
    pub batch: u64,
    /// Counted from 0 in the slot and batch.
    pub number: u32,
}

impl BlockKey {
    /// The first that a slot can have.
    pub(super) fn first(slot: Slot) -> BlockKey {
        BlockKey {
            slot,
            batch: 0,
            number: 0,
        }
    }

    /// Bytes that sort as keys do.
    pub(super) fn to_bytes(self) -> [u8; BLOCK_KEY_BYTES] {
        let mut bytes = [0; BLOCK_KEY_BYTES];
        bytes[..8].copy_from_slice(&self.slot.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.batch.to_be_bytes());
        bytes[16..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// The key in `bytes`.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn parse(bytes: &[u8]) -> Result<BlockKey, Unreadable> {
        const BAD_KEY: Unreadable = Unreadable {
            what: "the key of a block",
        };
        let (slot, rest) = bytes.split_first_chunk().ok_or(BAD_KEY)?;
        let (batch, number) = rest.split_first_chunk().ok_or(BAD_KEY)?;
        Ok(BlockKey {
            slot: Slot(u64::from_be_bytes(*slot)),
            batch: u64::from_be_bytes(*batch),
            number: u32::from_be_bytes(number.try_into().map_err(|_| BAD_KEY)?),
        })
    }
}

/// One row as the index knows it; sorts in the order of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IndexRow {
    bucket: u64,
    id_end: u32,
    slots_later: i32,
    number: u32,
}

impl IndexRow {
    /// The row of `key`, which is in `block`.
    pub(super) fn new(key: &ArchiveKey, block: BlockKey) -> IndexRow {
        let bucket = bucket(key.id);
        IndexRow {
            bucket,
            id_end: id_end(key.id),
            slots_later: block.slot.0.wrapping_sub(bucket_slot(bucket)) as i32,
            number: block.number,
        }
    }

    /// The UTC day of its id.
    pub(super) fn day(&self) -> u32 {
        UnixMs(self.bucket * BUCKET_MS).day()
    }
}

/// The entries of rows of one batch, which are in the order of the index.
pub(super) fn entries(
    rows: &[IndexRow],
    batch: u64,
) -> impl Iterator<Item = ([u8; ENTRY_KEY_BYTES], Vec<u8>)> {
    let buckets = rows.chunk_by(|a, b| a.bucket == b.bucket);
    buckets.map(move |rows| {
        let mut value = Vec::with_capacity(rows.len() * ROW_BYTES);
        for row in rows {
            value.extend_from_slice(&row.id_end.to_le_bytes());
            value.extend_from_slice(&row.slots_later.to_le_bytes());
            value.extend_from_slice(&row.number.to_le_bytes());
        }
        (entry_key(rows[0].bucket, batch), value)
    })
}

/// The first and the last key that an entry for this id can have.
pub(super) fn entry_keys(id: MessageId) -> [[u8; ENTRY_KEY_BYTES]; 2] {
    [0, u64::MAX].map(|batch| entry_key(bucket(id), batch))
}

/// The blocks that may hold the message, as an entry tells: hardly ever one in which it is not.
///
/// # Errors
/// [`Unreadable`].
pub(super) fn blocks(
    id: MessageId,
    key: &[u8],
    value: &[u8],
) -> Result<impl Iterator<Item = BlockKey>, Unreadable> {
    const BAD_ENTRY: Unreadable = Unreadable {
        what: "an entry of the index",
    };
    let batch = key.get(8..).and_then(|batch| batch.try_into().ok());
    let batch = u64::from_be_bytes(batch.ok_or(BAD_ENTRY)?);
    let (rows, []) = value.as_chunks::<ROW_BYTES>() else {
        return Err(BAD_ENTRY);
    };
    let (id_end, bucket_slot) = (id_end(id), bucket_slot(bucket(id)));
    let first = rows.partition_point(|row| u32_at(row, 0) < id_end);
    let same = rows[first..]
        .iter()
        .take_while(move |row| u32_at(*row, 0) == id_end);
    Ok(same.map(move |row| BlockKey {
        slot: Slot(bucket_slot.wrapping_add_signed(i64::from(u32_at(row, 4) as i32))),
        batch,
        number: u32_at(row, 8),
    }))
}

fn entry_key(bucket: u64, batch: u64) -> [u8; ENTRY_KEY_BYTES] {
    (u128::from(bucket) << 64 | u128::from(batch)).to_be_bytes()
}

fn bucket(id: MessageId) -> u64 {
    id.created_at().0 / BUCKET_MS
}

fn bucket_slot(bucket: u64) -> u64 {
    Slot::of(UnixMs(bucket * BUCKET_MS)).0
}

/// Of the random bits, enough to find the row among those of a bucket.
fn id_end(id: MessageId) -> u32 {
    id.low() as u32
}
