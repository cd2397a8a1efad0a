//! A batch on its way into the archive: sorted, numbered, and cut into blocks.

use xxhash_rust::xxh3::Xxh3;

use super::archive_block::{BlockWriter, Slot};
use super::archive_index::{self, BLOCK_KEY_BYTES, BlockKey, ENTRY_KEY_BYTES, IndexRow};
use crate::domain::message::Ended;
use crate::store::archive::ArchiveKey;

/// Rows in archive order, each message once.
pub(super) struct Batch<'a> {
    rows: Vec<(ArchiveKey, &'a Ended)>,
    /// The XXH3 of its keys: so a batch that is repeated as it was writes the same blocks again, and
    /// any other batch writes others.
    number: u64,
}

impl<'a> Batch<'a> {
    /// The batch of these messages, which may come in any order, and more than once.
    pub(super) fn new(messages: impl IntoIterator<Item = &'a Ended>) -> Batch<'a> {
        let messages = messages.into_iter();
        let mut rows: Vec<_> = messages
            .map(|ended| (ArchiveKey::of(ended), ended))
            .collect();
        // Not unstable: the messages of a shard come in runs that are sorted.
        rows.sort_by_key(|(key, _)| *key);
        rows.dedup_by_key(|(key, _)| *key);
        let mut number = Xxh3::new();
        for (key, _) in &rows {
            number.update(&key_bytes(key));
        }
        Batch {
            rows,
            number: number.digest(),
        }
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows of each day of their end.
    pub(super) fn days(&self) -> impl Iterator<Item = Day<'_>> {
        let days = self
            .rows
            .chunk_by(|(a, _), (b, _)| a.ended_at.day() == b.ended_at.day());
        days.map(|rows| Day {
            day: rows[0].0.ended_at.day(),
            rows,
            batch: self.number,
        })
    }

    /// The entries of each day of the ids, made of what [`Day::blocks`] told of all rows, in order.
    pub(super) fn entries(
        &self,
        index: &[IndexRow],
    ) -> impl Iterator<Item = (u32, impl Iterator<Item = ([u8; ENTRY_KEY_BYTES], Vec<u8>)>)> {
        let days = index.chunk_by(|a, b| a.day() == b.day());
        days.map(|rows| (rows[0].day(), archive_index::entries(rows, self.number)))
    }
}

/// The rows of a batch that ended on one day.
pub(super) struct Day<'a> {
    /// Which day.
    pub day: u32,
    rows: &'a [(ArchiveKey, &'a Ended)],
    batch: u64,
}

impl Day<'_> {
    /// Its blocks, one at a time; adds to `index` where each row is.
    pub(super) fn blocks(
        &self,
        index: &mut Vec<IndexRow>,
    ) -> impl Iterator<Item = ([u8; BLOCK_KEY_BYTES], Vec<u8>)> {
        let mut writer = BlockWriter::default();
        let (mut rows, mut key) = (self.rows, None);
        std::iter::from_fn(move || {
            let slot = Slot::of(rows.first()?.0.ended_at);
            let block = next_key(key, slot, self.batch);
            while let Some(((place, ended), rest)) = rows.split_first()
                && Slot::of(place.ended_at) == slot
                && !writer.is_full()
            {
                writer.push(ended);
                index.push(IndexRow::new(place, block));
                rows = rest;
            }
            key = Some(block);
            Some((block.to_bytes(), writer.finish()))
        })
    }
}

fn key_bytes(key: &ArchiveKey) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&key.ended_at.0.to_be_bytes());
    bytes[8..].copy_from_slice(&key.id.to_bytes());
    bytes
}

/// The key of the block in `slot` that follows the one with the key `last`.
fn next_key(last: Option<BlockKey>, slot: Slot, batch: u64) -> BlockKey {
    match last {
        Some(last) if last.slot == slot => BlockKey {
            number: last.number + 1,
            ..last
        },
        _ => BlockKey {
            batch,
            ..BlockKey::first(slot)
        },
    }
}
