//! The keyspaces of the archive: for each UTC day one of blocks and one of index entries.
//!
//! Everything goes in by ingestion, never by insert, so that it is in checksummed tables and not in
//! the database's own journal (ADR-0002).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, UserKey, UserValue};

use super::locked;
use crate::store::StoreError;

/// Length of a table that compaction makes, in bytes: what is rewritten again and again is the last.
const TABLE_BYTES: u64 = 16 << 20;

/// Tables that wait for compaction, one for each batch.
const WAITING_TABLES: u8 = 16;

/// What the database reads at once, in bytes: about one of our blocks, which are compressed already.
const PAGE_BYTES: u32 = 4 * 1024;

/// What a keyspace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Blocks of rows, by the day of their end.
    Blocks,
    /// Index entries, by the day of the id.
    Index,
}

/// Every day's keyspaces, opened.
pub(super) struct Days {
    database: Database,
    open: RwLock<BTreeMap<(Kind, u32), Arc<Day>>>,
}

/// One keyspace.
pub(super) struct Day {
    /// For reading.
    pub keyspace: Keyspace,
    newest: Mutex<Option<(UserKey, UserValue)>>,
}

impl Days {
    /// Opens the database in `directory` and every keyspace in it.
    ///
    /// # Errors
    /// [`StoreError::Archive`].
    pub(super) fn open(directory: &Path, cache_bytes: u64) -> Result<Days, StoreError> {
        let database = Database::builder(directory)
            .worker_threads(1)
            .cache_size(cache_bytes)
            .open()
            .map_err(archive_error)?;
        let mut open = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Some((kind, day)) = parse_name(&name) {
                let keyspace = database.keyspace(&name, options).map_err(archive_error)?;
                open.insert((kind, day), Arc::new(Day::new(keyspace)?));
            }
        }
        Ok(Days {
            database,
            open: RwLock::new(open),
        })
    }

    /// The keyspace of a day, if anything was ever put there.
    pub(super) fn get(&self, kind: Kind, day: u32) -> Option<Arc<Day>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&(kind, day)).cloned()
    }

    /// The keyspace of a day, made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Archive`].
    pub(super) fn get_or_make(&self, kind: Kind, day: u32) -> Result<Arc<Day>, StoreError> {
        if let Some(found) = self.get(kind, day) {
            return Ok(found);
        }
        let keyspace = self
            .database
            .keyspace(&name(kind, day), options)
            .map_err(archive_error)?;
        let made = Arc::new(Day::new(keyspace)?);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(open.entry((kind, day)).or_insert(made)))
    }

    /// The days from `first` that have a keyspace, in order.
    pub(super) fn from(&self, kind: Kind, first: u32) -> Vec<Arc<Day>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.range((kind, first)..=(kind, u32::MAX))
            .map(|(_, day)| Arc::clone(day))
            .collect()
    }

    /// Drops the keyspaces of all days before `first`, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Archive`]: it can be repeated.
    pub(super) fn drop_before(&self, kind: Kind, first: u32) -> Result<(), StoreError> {
        let old: Vec<_> = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            open.range((kind, 0)..(kind, first))
                .map(|((_, day), keyspace)| (*day, keyspace.keyspace.clone()))
                .collect()
        };
        for (day, keyspace) in old {
            self.database
                .delete_keyspace(keyspace)
                .map_err(archive_error)?;
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            open.remove(&(kind, day));
        }
        Ok(())
    }

    /// Tables over all keyspaces.
    pub(super) fn tables(&self) -> usize {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().map(|day| day.keyspace.table_count()).sum()
    }
}

impl Day {
    fn new(keyspace: Keyspace) -> Result<Day, StoreError> {
        let newest = keyspace
            .last_key_value()
            .map(|guard| guard.into_inner())
            .transpose()
            .map_err(archive_error)?;
        Ok(Day {
            keyspace,
            newest: Mutex::new(newest),
        })
    }

    /// Puts blocks or entries in, which ascend strictly; durable and visible when it returns.
    ///
    /// Batches that only ever follow each other would stay one table each, for ever: compaction moves
    /// a table that overlaps nothing as it is. So a batch that is wholly behind the newest block
    /// repeats that block, and is merged.
    ///
    /// # Errors
    /// [`StoreError::Archive`]: nothing of the batch is visible.
    pub(super) fn ingest<const N: usize>(
        &self,
        entries: impl IntoIterator<Item = ([u8; N], Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mut newest = locked(&self.newest);
        let mut ingestion = self.keyspace.start_ingestion().map_err(archive_error)?;
        let (mut is_first, mut last) = (true, None);
        for (key, value) in entries {
            let (key, value) = (UserKey::from(key), UserValue::from(value));
            if is_first && let Some((key, value)) = newest.as_ref().filter(|(n, _)| *n < key) {
                ingestion
                    .write(key.clone(), value.clone())
                    .map_err(archive_error)?;
            }
            is_first = false;
            ingestion
                .write(key.clone(), value.clone())
                .map_err(archive_error)?;
            last = Some((key, value));
        }
        ingestion.finish().map_err(archive_error)?;
        if newest.as_ref().map(|(key, _)| key) < last.as_ref().map(|(key, _)| key) {
            *newest = last;
        }
        Ok(())
    }
}

/// Makes a [`StoreError`] of a failure of the database, or of what was read from it.
pub(super) fn archive_error(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Archive(Box::new(error))
}

/// Nothing is looked for where it is not, and nothing is worth compressing again.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::None))
        .data_block_size_policy(BlockSizePolicy::all(PAGE_BYTES))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .compaction_strategy(Arc::new(
            Leveled::default()
                .with_table_target_size(TABLE_BYTES)
                .with_l0_threshold(WAITING_TABLES),
        ))
}

fn name(kind: Kind, day: u32) -> String {
    match kind {
        Kind::Blocks => format!("blocks-{day}"),
        Kind::Index => format!("index-{day}"),
    }
}

fn parse_name(name: &str) -> Option<(Kind, u32)> {
    let (kind, day) = name.split_once('-')?;
    let kind = match kind {
        "blocks" => Kind::Blocks,
        "index" => Kind::Index,
        _ => return None,
    };
    Some((kind, day.parse().ok()?))
}
