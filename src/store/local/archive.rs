//! The archive in a `fjall` database: rows in the order of their end, and an index by id.
//!
//! A batch puts its rows first and the index behind, so that what the index names is there. Keyspaces
//! are made by batches only, never by a read.

use std::ops::Bound;
use std::path::Path;
use std::sync::Mutex;

use super::archive_days::{Days, Kind, archive_error};
use super::archive_key::{self, row_key};
use super::{create_directory, locked};
use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::message::{End, Ended};
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::archive::{Archive, ArchiveKey};
use crate::store::archive_row;

/// Days that the index is kept longer than the rows: at least the longest life of a message.
const INDEX_DAYS_MORE: u32 = 60;

/// The archive of one data directory.
pub struct LocalArchive {
    days: Days,
    /// Held while a batch is put: one at a time.
    putting: Mutex<()>,
}

impl LocalArchive {
    /// Opens or makes the archive in `directory`, with so much memory for what is read.
    ///
    /// # Errors
    /// [`StoreError::Archive`] and [`StoreError::Io`].
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<LocalArchive, StoreError> {
        create_directory(directory)?;
        Ok(LocalArchive {
            days: Days::open(directory, cache_bytes)?,
            putting: Mutex::new(()),
        })
    }

    /// Tables in the database: compaction keeps them few.
    pub fn tables(&self) -> usize {
        self.days.tables()
    }

    fn put_now(&self, batch: &[Ended]) -> Result<(), StoreError> {
        let _putting = locked(&self.putting);
        let mut rows: Vec<_> = batch
            .iter()
            .map(|ended| (ArchiveKey::of(ended), ended))
            .collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        rows.dedup_by_key(|(key, _)| *key);
        for day in rows.chunk_by(|(a, _), (b, _)| a.ended_at.day() == b.ended_at.day()) {
            let keyspace = self.days.get_or_make(Kind::Rows, day[0].0.ended_at.day())?;
            keyspace.ingest(day.iter().map(|(key, ended)| {
                (row_key(*key).into(), archive_row::row_value(ended).into())
            }))?;
        }
        rows.sort_unstable_by_key(|(key, _)| (key.id, key.ended_at));
        rows.dedup_by_key(|(key, _)| key.id);
        for day in rows.chunk_by(|(a, _), (b, _)| created_day(a) == created_day(b)) {
            let keyspace = self.days.get_or_make(Kind::Ids, created_day(&day[0].0))?;
            keyspace.ingest(day.iter().map(|(key, ended)| {
                let value = archive_key::index_value(ended);
                (key.id.to_bytes().into(), value.into())
            }))?;
        }
        Ok(())
    }

    fn get_now(&self, id: MessageId) -> Result<Option<Ended>, StoreError> {
        let Some(index) = self.days.get(Kind::Ids, id.created_at().day()) else {
            return Ok(None);
        };
        let found = index.keyspace.get(id.to_bytes()).map_err(archive_error)?;
        let Some(value) = found else {
            return Ok(None);
        };
        let place = archive_key::indexed_key(id, &value).map_err(archive_error)?;
        let Some(rows) = self.days.get(Kind::Rows, place.ended_at.day()) else {
            return Ok(None);
        };
        let key = row_key(place);
        match rows.keyspace.get(key).map_err(archive_error)? {
            Some(value) => read(&key, &value).map(Some),
            None => Ok(None),
        }
    }

    fn read_together_now(
        &self,
        shard: ShardId,
        read_at: UnixMs,
        range: TakenRange,
        username: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        let Some(rows) = self.days.get(Kind::Rows, read_at.day()) else {
            return Ok(Vec::new());
        };
        let place = |id| {
            row_key(ArchiveKey {
                ended_at: read_at,
                shard,
                id,
            })
        };
        let mut together = Vec::with_capacity(range.count as usize);
        for row in rows.keyspace.range(place(range.first)..=place(range.last)) {
            let (key, value) = row.into_inner().map_err(archive_error)?;
            let ended = read(&key, &value)?;
            if ended.end == End::Read && ended.username.as_str() == username {
                together.push(ended);
            }
        }
        Ok(together)
    }

    fn list_now(&self, after: Option<ArchiveKey>, limit: usize) -> Result<Vec<Ended>, StoreError> {
        let first_day = after.map_or(0, |after| after.ended_at.day());
        let behind = after.map_or(Bound::Unbounded, |after| Bound::Excluded(row_key(after)));
        let mut listed = Vec::new();
        for day in self.days.from(Kind::Rows, first_day) {
            let rows = day.keyspace.range((behind, Bound::Unbounded));
            for row in rows.take(limit - listed.len()) {
                let (key, value) = row.into_inner().map_err(archive_error)?;
                listed.push(read(&key, &value)?);
            }
            if listed.len() == limit {
                break;
            }
        }
        Ok(listed)
    }
}

impl Archive for LocalArchive {
    async fn put(&self, batch: &[Ended]) -> Result<(), StoreError> {
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
        self.days.drop_before(Kind::Rows, day)?;
        self.days
            .drop_before(Kind::Ids, day.saturating_sub(INDEX_DAYS_MORE))
    }
}

fn created_day(key: &ArchiveKey) -> u32 {
    key.id.created_at().day()
}

fn read(key: &[u8], value: &[u8]) -> Result<Ended, StoreError> {
    archive_key::read_row(key, value).map_err(archive_error)
}
