//! Recovery of one worker's shards from the journal, before anything is served.

use crate::domain::time::UnixMs;
use crate::domain::username::{SHARDS, ShardId};
use crate::store::StoreError;
use crate::store::group::HighWater;
use crate::store::journal::Journal;

use super::spread::Spread;
use super::usage::Usage;
use super::value::Shard;
use super::weighing::Weighing;

/// The shards of one worker as they were at the last commit.
#[derive(Debug)]
pub struct Recovered {
    /// The shards, in the order of their numbers.
    pub shards: Vec<Shard>,
    /// How many messages wait in them.
    pub unread: u64,
    /// The newest time and id of the whole journal.
    pub high_water: HighWater,
}

/// Replays the journal of `ids`, which are in order, however much there is.
///
/// # Errors
/// [`StoreError`] when the journal is damaged or a newer version wrote it; nothing is changed.
pub async fn recover<J: Journal>(
    journal: &J,
    ids: &[ShardId],
    now: UnixMs,
    spread: Spread,
    usage: &Usage,
) -> Result<Recovered, StoreError> {
    replay(journal, ids, now, spread, usage, None).await
}

/// The same, as long as it stays within the bound of `usage`, where it counts from the beginning.
///
/// # Errors
/// As [`recover`], and [`StoreError::NoRoom`].
pub async fn recover_what_fits<J: Journal>(
    journal: &J,
    ids: &[ShardId],
    now: UnixMs,
    spread: Spread,
    usage: &Usage,
) -> Result<Recovered, StoreError> {
    let weighing = Weighing::new(usage);
    replay(journal, ids, now, spread, usage, Some(weighing)).await
}

async fn replay<J: Journal>(
    journal: &J,
    ids: &[ShardId],
    now: UnixMs,
    spread: Spread,
    usage: &Usage,
    mut weighing: Option<Weighing<'_>>,
) -> Result<Recovered, StoreError> {
    let mut shards: Vec<_> = ids.iter().map(|id| Shard::new(*id, now, spread)).collect();
    let mut places = [None; SHARDS];
    for (place, id) in ids.iter().enumerate() {
        places[id.index()] = Some(place);
    }
    let high_water = journal
        .replay(ids, &mut |position, record| {
            let event = record
                .event()
                .map_err(|source| StoreError::UnknownEvent { position, source })?;
            let content_bytes = event.content_bytes();
            if let Some(place) = places[record.shard.index() % SHARDS] {
                shards[place].replay(position, record.at, event);
            }
            if let Some(weighing) = &mut weighing
                && weighing.is_due(content_bytes)
                && !weighing.fits(shards.iter().map(|shard| shard.weigh().0).sum())
            {
                return Err(StoreError::NoRoom);
            }
            Ok(())
        })
        .await?;
    drop(weighing);
    let unread = shards
        .iter_mut()
        .map(|shard| shard.resume(high_water, usage))
        .sum();
    Ok(Recovered {
        shards,
        unread,
        high_water,
    })
}

/// The shards that one of `workers` hosts.
pub fn shards_of(worker: usize, workers: usize) -> Vec<ShardId> {
    ShardId::all()
        .filter(|shard| shard.index() % workers == worker)
        .collect()
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
