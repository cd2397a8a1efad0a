//! The archive in tables: rows by shard and the time of their creation, and the order of their ends
//! (`history`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use scylla::statement::prepared::PreparedStatement;

use super::archive_row;
use super::background::Background;
use super::error::{CqlError, ScyllaError};
use super::history::History;
use super::packing::pack;
use super::rows;
use super::session::Cql;
use super::statement::Kind;
use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::message::{End, Ended};
use crate::domain::time::UnixMs;
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::archive::{Archive, ArchiveKey};

/// Calls that one batch or list has under way at once.
pub(super) const CALLS_AT_ONCE: usize = 16;

/// How often one call of a batch is made before the batch fails, and the pause in between.
const TRIES_MAX: u32 = 3;
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// Rows of a part, of which a call has one or more, and their bytes, unless a row is longer by itself.
const ROWS_PER_PART: usize = 64;
const BYTES_PER_PART: usize = 64 * 1024;

/// About what a row has in a call beside its last column.
const ROW_OVERHEAD_BYTES: usize = 96;

/// What is written for a message: its partition, id, end, row, time stamp.
type RowValues = (i32, i64, Vec<u8>, i64, Vec<u8>, i64);

/// Some rows of one partition, and their bytes.
#[derive(Default)]
struct Part {
    rows: Vec<RowValues>,
    bytes: usize,
}

/// A batch as it is written: the calls with its rows, and their place in the order of the archive.
struct Writes {
    calls: Vec<Vec<RowValues>>,
    keys: Vec<ArchiveKey>,
}

/// The archive of a keyspace.
pub struct ScyllaArchive {
    tables: Arc<Tables>,
    on: Arc<Background>,
}

struct Tables {
    cql: Arc<Cql>,
    bucket_ms: u64,
    put: PreparedStatement,
    get: PreparedStatement,
    history: History,
}

impl ScyllaArchive {
    pub(super) async fn open(
        cql: Arc<Cql>,
        bucket: Duration,
        on: Arc<Background>,
    ) -> Result<ScyllaArchive, CqlError> {
        let put = "INSERT INTO {}archive (shard, bucket, id, ended_at, row) VALUES (?, ?, ?, ?, ?) \
                   USING TIMESTAMP ?";
        let get = "SELECT ended_at, row FROM {}archive WHERE shard = ? AND bucket = ? AND id = ?";
        Ok(ScyllaArchive {
            tables: Arc::new(Tables {
                bucket_ms: bucket.as_millis() as u64,
                put: cql.prepare(Kind::Write, put).await?,
                get: cql.prepare(Kind::Read, get).await?,
                history: History::prepare(&cql).await?,
                cql,
            }),
            on,
        })
    }

    /// Does something with the tables, in the background.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Tables>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CqlError>> + Send + 'static,
    {
        let done = self.on.run(Box::pin(work(self.tables.clone()))).await;
        Ok(done.map_err(ScyllaError::of("the archive"))?)
    }
}

impl Archive for ScyllaArchive {
    async fn put<'a>(
        &self,
        batch: impl IntoIterator<Item = &'a Ended> + Send,
    ) -> Result<(), StoreError> {
        let writes = self.tables.writes(batch);
        self.run(|tables| async move { tables.put(writes).await })
            .await
    }

    async fn get(&self, id: MessageId) -> Result<Option<Ended>, StoreError> {
        self.run(move |tables| async move { tables.get(id).await })
            .await
    }

    async fn read_together(
        &self,
        shard: ShardId,
        read_at: UnixMs,
        range: TakenRange,
        username: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        let key = |id| ArchiveKey {
            ended_at: read_at,
            shard,
            id,
        };
        let (first, last) = (key(range.first), key(range.last));
        let together = self.run(move |tables| async move {
            let keys = tables.history.range(&tables.cql, first, last).await?;
            tables.get_all(keys).await
        });
        let mut together = together.await?;
        together.retain(|ended| ended.end == End::Read && ended.username.as_str() == username);
        Ok(together)
    }

    async fn list(
        &self,
        after: Option<ArchiveKey>,
        limit: usize,
    ) -> Result<Vec<Ended>, StoreError> {
        self.run(move |tables| async move { tables.list(after, limit).await })
            .await
    }

    /// Nothing: rows go by the retention that the schema was made with, on the servers' clocks. The
    /// clock of one node must not hide what all others still show.
    async fn drop_before(&self, _: UnixMs) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Tables {
    fn writes<'a>(&self, batch: impl IntoIterator<Item = &'a Ended>) -> Writes {
        let mut keys = Vec::new();
        let mut partitions: BTreeMap<(i32, i64), Vec<&Ended>> = BTreeMap::new();
        for ended in batch {
            keys.push(ArchiveKey::of(ended));
            partitions
                .entry(self.partition(ended.id))
                .or_default()
                .push(ended);
        }
        let parts = partitions
            .iter()
            .flat_map(|(partition, all)| parts(*partition, all));
        let calls = pack(parts.collect(), |part| part.bytes).into_iter();
        let rows = |call: Vec<Part>| call.into_iter().flat_map(|part| part.rows).collect();
        Writes {
            calls: calls.map(rows).collect(),
            keys,
        }
    }

    /// The rows first, then their order: what is listed can be read.
    async fn put(&self, writes: Writes) -> Result<(), CqlError> {
        #[cfg(debug_assertions)]
        reach("archive-sent", &writes.keys).await;
        run_all(&writes.calls, |rows| self.cql.batch(&self.put, rows)).await?;
        self.history.put(&self.cql, &writes.keys).await?;
        #[cfg(debug_assertions)]
        reach("archive-written", &writes.keys).await;
        Ok(())
    }

    async fn get(&self, id: MessageId) -> Result<Option<Ended>, CqlError> {
        let (shard, bucket) = self.partition(id);
        let values = (shard, bucket, id.to_bytes().to_vec());
        let found = self.cql.execute(&self.get, values).await?;
        let found = rows::first::<(i64, Vec<u8>)>("archive", found)?;
        let Some((ended_at, row)) = found else {
            return Ok(None);
        };
        let ended_at = UnixMs(ended_at as u64);
        let ended = archive_row::read_value(id, ended_at, &row);
        ended.map(Some).map_err(CqlError::unreadable("archive"))
    }

    /// The rows of these keys, in their order; those that are gone meanwhile are left out.
    async fn get_all(&self, keys: Vec<ArchiveKey>) -> Result<Vec<Ended>, CqlError> {
        let gets: Vec<_> = keys.into_iter().map(|key| self.get(key.id)).collect();
        let found: Vec<_> = stream::iter(gets)
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn list(&self, after: Option<ArchiveKey>, limit: usize) -> Result<Vec<Ended>, CqlError> {
        let mut listed = Vec::with_capacity(limit.min(1_024));
        let mut after = after;
        while listed.len() < limit {
            let wanted = limit - listed.len();
            let keys = self.history.list(&self.cql, after, wanted).await?;
            let Some(last) = keys.last() else { break };
            after = Some(*last);
            listed.extend(self.get_all(keys).await?);
        }
        Ok(listed)
    }

    fn partition(&self, id: MessageId) -> (i32, i64) {
        let bucket = id.created_at().0 / self.bucket_ms;
        (i32::from(id.route().shard().0), bucket as i64)
    }
}

/// Makes a call with each of `all`, a bounded number at once. One that fails is repeated by itself: of
/// hundreds now and then one fails, and the others are done.
pub(super) async fn run_all<'a, T, F>(
    all: &'a [T],
    call: impl Fn(&'a T) -> F,
) -> Result<(), CqlError>
where
    F: Future<Output = Result<(), CqlError>>,
{
    let call = &call;
    let calls: Vec<_> = all.iter().map(|one| repeated(move || call(one))).collect();
    stream::iter(calls)
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect()
        .await
}

/// Makes a call that may be repeated until it succeeds, a few times at most.
async fn repeated<F>(call: impl Fn() -> F) -> Result<(), CqlError>
where
    F: Future<Output = Result<(), CqlError>>,
{
    for _ in 1..TRIES_MAX {
        if call().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(TRY_PAUSE).await;
    }
    call().await
}

/// The end of a message as the time stamp of its rows, in microseconds: a repeat is the same write.
pub(super) fn timestamp(ended_at: UnixMs) -> i64 {
    ended_at.0.saturating_mul(1_000) as i64
}

/// The rows of one partition, in parts that are not too long for a call.
fn parts((shard, bucket): (i32, i64), all: &[&Ended]) -> Vec<Part> {
    let mut parts = vec![Part::default()];
    for ended in all {
        let row = archive_row::row_value(ended);
        let mut last = parts.last_mut().expect("there is one");
        let length = last.bytes + row.len();
        if last.rows.len() == ROWS_PER_PART || !last.rows.is_empty() && length > BYTES_PER_PART {
            parts.push(Part::default());
            last = parts.last_mut().expect("there is one");
        }
        last.bytes += row.len() + ROW_OVERHEAD_BYTES;
        let id = ended.id.to_bytes().to_vec();
        let (ended_at, stamp) = (ended.ended_at.0 as i64, timestamp(ended.ended_at));
        last.rows.push((shard, bucket, id, ended_at, row, stamp));
    }
    parts
}

/// A place is reached with the shards of these rows.
#[cfg(debug_assertions)]
async fn reach(place: &str, keys: &[ArchiveKey]) {
    for key in keys {
        super::failpoint::reach(place, cluster::shard::Shard(key.shard.0)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Runs a call for each of 0 to 99 that fails so often for the 50th; tells the outcome and whom it was
    /// made for.
    fn run_failing(failures: usize) -> (Result<(), CqlError>, Vec<u32>) {
        let made = RefCell::new(Vec::new());
        let call = |number: &u32| {
            let mut made = made.borrow_mut();
            made.push(*number);
            let times = made.iter().filter(|made| **made == 50).count();
            let fails = *number == 50 && times <= failures;
            std::future::ready(match fails {
                true => Err(CqlError::Ambiguous("no answer".into())),
                false => Ok(()),
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let all: Vec<_> = (0..100).collect();
        let outcome = runtime.block_on(run_all(&all, call));
        (outcome, made.into_inner())
    }

    #[test]
    fn a_call_that_fails_is_repeated_by_itself_and_the_others_are_made_once() {
        let (outcome, mut made) = run_failing(2);
        assert!(outcome.is_ok(), "{outcome:?}");
        made.sort_unstable();
        let mut expected: Vec<_> = (0..100).chain([50, 50]).collect();
        expected.sort_unstable();
        assert_eq!(made, expected);
    }

    #[test]
    fn a_call_that_keeps_failing_fails_its_batch() {
        let (outcome, made) = run_failing(usize::MAX);
        assert!(matches!(outcome, Err(CqlError::Ambiguous(_))));
        let tries = made.iter().filter(|made| **made == 50).count();
        assert_eq!(tries, TRIES_MAX as usize);
    }
}
