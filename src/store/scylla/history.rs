//! The order in which messages ended: `history`, and what says where in it there is anything.
//!
//! A partition holds one minute of every sixteenth shard. `history_days` and `history_minutes` name
//! the partitions that are not empty, and are written before them: a list reads only those, so that
//! a page costs the same wherever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use scylla::statement::prepared::PreparedStatement;

use super::archive::{CALLS_AT_ONCE, run_all, timestamp};
use super::error::CqlError;
use super::packing::pack;
use super::rows;
use super::session::Cql;
use super::statement::Kind;
use crate::domain::id::MessageId;
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;
use crate::store::archive::ArchiveKey;

/// Partitions of one minute.
const LANES: u16 = 16;

const MINUTE_MS: u64 = 60_000;
const MINUTES_PER_DAY: u64 = 24 * 60;

/// Names of partitions read at once: 16 whole minutes at least, so that one minute is always whole.
const PLACES_PER_READ: i32 = 16 * LANES as i32;

/// Keys of a part, of which a call has one or more.
const KEYS_PER_PART: usize = 256;

/// About what a key has in a call.
const KEY_BYTES: usize = 96;

/// Partitions that are remembered as named already.
const NAMED_MAX: usize = 4_096;

/// The one partition of `history_days`.
const ERA: i32 = 0;

/// A partition: a minute since the epoch, and a lane.
type Place = (i64, i32);

/// The order of the archive.
pub(super) struct History {
    put: PreparedStatement,
    put_minute: PreparedStatement,
    put_day: PreparedStatement,
    days: PreparedStatement,
    minutes: PreparedStatement,
    behind: PreparedStatement,
    range: PreparedStatement,
    /// Partitions that are named durably.
    named: Mutex<BTreeSet<Place>>,
}

impl History {
    pub(super) async fn prepare(cql: &Cql) -> Result<History, CqlError> {
        let put = "INSERT INTO {}history (minute, lane, ended_at, shard, id) VALUES (?, ?, ?, ?, ?) \
                   USING TIMESTAMP ?";
        let put_minute = "INSERT INTO {}history_minutes (day, minute, lane) VALUES (?, ?, ?)";
        let put_day = "INSERT INTO {}history_days (era, day) VALUES (?, ?)";
        let days = "SELECT day FROM {}history_days WHERE era = ? AND day >= ?";
        let minutes = "SELECT minute, lane FROM {}history_minutes \
                       WHERE day = ? AND minute >= ? LIMIT ?";
        let behind = "SELECT ended_at, shard, id FROM {}history WHERE minute = ? AND lane = ? \
                      AND (ended_at, shard, id) > (?, ?, ?) LIMIT ?";
        let range = "SELECT ended_at, shard, id FROM {}history WHERE minute = ? AND lane = ? \
                     AND ended_at = ? AND shard = ? AND id >= ? AND id <= ?";
        Ok(History {
            put: cql.prepare(Kind::Write, put).await?,
            put_minute: cql.prepare(Kind::Write, put_minute).await?,
            put_day: cql.prepare(Kind::Write, put_day).await?,
            days: cql.prepare(Kind::Read, days).await?,
            minutes: cql.prepare(Kind::Read, minutes).await?,
            behind: cql.prepare(Kind::Read, behind).await?,
            range: cql.prepare(Kind::Read, range).await?,
            named: Mutex::default(),
        })
    }

    /// Adds keys, each once however often it is repeated.
    pub(super) async fn put(&self, cql: &Cql, keys: &[ArchiveKey]) -> Result<(), CqlError> {
        let mut places: BTreeMap<Place, Vec<ArchiveKey>> = BTreeMap::new();
        for key in keys {
            places.entry(place(*key)).or_default().push(*key);
        }
        self.name(cql, places.keys().copied()).await?;
        let parts = places.iter().flat_map(|((minute, lane), keys)| {
            let values = |key: &ArchiveKey| {
                let (ended_at, shard, id) = columns(*key);
                let stamp = timestamp(key.ended_at);
                (*minute, *lane, ended_at, shard, id, stamp)
            };
            let parts = keys.chunks(KEYS_PER_PART);
            parts.map(move |keys| keys.iter().map(values).collect::<Vec<_>>())
        });
        let calls = pack(parts.collect(), |keys| keys.len() * KEY_BYTES).into_iter();
        let calls: Vec<Vec<_>> = calls
            .map(|parts| parts.into_iter().flatten().collect())
            .collect();
        run_all(&calls, |values| cql.batch(&self.put, values)).await
    }

    /// Keys behind `after`; empty only when there are no more.
    pub(super) async fn list(
        &self,
        cql: &Cql,
        after: Option<ArchiveKey>,
        limit: usize,
    ) -> Result<Vec<ArchiveKey>, CqlError> {
        let mut minute = after.map_or(0, |after| place(after).0);
        let days = (ERA, minute / MINUTES_PER_DAY as i64);
        let days = cql.execute(&self.days, days).await?;
        let mut listed = Vec::new();
        for (day,) in rows::all::<(i64,)>("history_days", days)? {
            loop {
                let lanes = self.minutes_from(cql, day, minute).await?;
                let Some(last) = lanes.last_key_value().map(|(minute, _)| *minute) else {
                    break;
                };
                for (minute, lanes) in lanes {
                    let wanted = limit - listed.len();
                    let keys = self.minute(cql, minute, &lanes, after, wanted).await?;
                    listed.extend(keys);
                    if listed.len() == limit {
                        return Ok(listed);
                    }
                }
                minute = last + 1;
            }
        }
        Ok(listed)
    }

    /// The keys from `first` to `last`, which differ in their id only.
    pub(super) async fn range(
        &self,
        cql: &Cql,
        first: ArchiveKey,
        last: ArchiveKey,
    ) -> Result<Vec<ArchiveKey>, CqlError> {
        let ((minute, lane), (ended_at, shard, id)) = (place(first), columns(first));
        let values = (minute, lane, ended_at, shard, id, columns(last).2);
        let found = cql.execute(&self.range, values).await?;
        keys(rows::all("history", found)?)
    }

    /// Names partitions, those that are not known to be named.
    async fn name(&self, cql: &Cql, places: impl Iterator<Item = Place>) -> Result<(), CqlError> {
        let places: Vec<_> = {
            let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            places.filter(|place| !named.contains(place)).collect()
        };
        let days: BTreeSet<_> = places.iter().map(|(minute, _)| day(*minute)).collect();
        let days: Vec<_> = days.into_iter().collect();
        run_all(&days, |day| async move {
            let named = cql.execute(&self.put_day, (ERA, *day)).await;
            named.map(drop)
        })
        .await?;
        run_all(&places, |(minute, lane)| async move {
            let values = (day(*minute), *minute, *lane);
            cql.execute(&self.put_minute, values).await.map(drop)
        })
        .await?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() + places.len() > NAMED_MAX {
            named.clear();
        }
        named.extend(places);
        Ok(())
    }

    /// The lanes of the next minutes of a day that are not empty; every minute is whole.
    async fn minutes_from(
        &self,
        cql: &Cql,
        day: i64,
        minute: i64,
    ) -> Result<BTreeMap<i64, Vec<i32>>, CqlError> {
        let values = (day, minute, PLACES_PER_READ);
        let found = cql.execute(&self.minutes, values).await?;
        let found = rows::all::<Place>("history_minutes", found)?;
        let is_full = found.len() == PLACES_PER_READ as usize;
        let mut lanes: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
        for (minute, lane) in found {
            lanes.entry(minute).or_default().push(lane);
        }
        if is_full && lanes.len() > 1 {
            lanes.pop_last();
        }
        Ok(lanes)
    }

    /// The first keys of a minute behind `after`, over its lanes.
    async fn minute(
        &self,
        cql: &Cql,
        minute: i64,
        lanes: &[i32],
        after: Option<ArchiveKey>,
        limit: usize,
    ) -> Result<Vec<ArchiveKey>, CqlError> {
        let (ended_at, shard, id) = after.map_or((-1, -1, Vec::new()), columns);
        let rows_max = i32::try_from(limit).unwrap_or(i32::MAX);
        let reads: Vec<_> = lanes
            .iter()
            .map(|lane| {
                let values = (minute, *lane, ended_at, shard, id.clone(), rows_max);
                async move {
                    let found = cql.execute(&self.behind, values).await?;
                    keys(rows::all("history", found)?)
                }
            })
            .collect();
        let found: Vec<Vec<ArchiveKey>> = stream::iter(reads)
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        let mut found = found.concat();
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }
}

fn place(key: ArchiveKey) -> Place {
    let minute = key.ended_at.0 / MINUTE_MS;
    (minute as i64, i32::from(key.shard.0 % LANES))
}

fn day(minute: i64) -> i64 {
    minute / MINUTES_PER_DAY as i64
}

/// The clustering columns of a key; they sort as keys do.
fn columns(key: ArchiveKey) -> (i64, i32, Vec<u8>) {
    (
        key.ended_at.0 as i64,
        i32::from(key.shard.0),
        key.id.to_bytes().to_vec(),
    )
}

fn keys(rows: Vec<(i64, i32, Vec<u8>)>) -> Result<Vec<ArchiveKey>, CqlError> {
    let key = |(ended_at, shard, id): (i64, i32, Vec<u8>)| {
        let id: [u8; 16] = id.try_into().ok()?;
        Some(ArchiveKey {
            ended_at: UnixMs(ended_at as u64),
            shard: ShardId(shard as u16),
            id: MessageId::from(id),
        })
    };
    let keys: Option<Vec<_>> = rows.into_iter().map(key).collect();
    keys.ok_or_else(|| CqlError::unreadable("history")("an id has not 16 bytes"))
}
