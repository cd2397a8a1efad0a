//! Recovery of all shards before the public port is bound: one thread per worker, with progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::domain::time::UnixMs;
use crate::shard::clock::Clock;
use crate::shard::recovery::{Recovered, recover, shards_of};
use crate::shard::spread::Spread;
use crate::shard::usage::Usage;
use crate::shard::value::Shard;
use crate::store::StoreError;
use crate::store::group::HighWater;
use crate::store::local::LocalJournal;

/// How often the progress is logged.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The shards of all workers.
pub struct AllRecovered {
    /// The shards by worker.
    pub shards: Vec<Vec<Shard>>,
    /// Messages that wait.
    pub unread: u64,
    /// The newest time and id.
    pub high_water: HighWater,
    /// How long it took.
    pub took: Duration,
}

/// Replays the journal for the shards of `workers`.
///
/// # Errors
/// What is wrong with the journal; nothing is changed.
pub fn recover_all(
    journal: &Arc<LocalJournal>,
    workers: usize,
    usage: &Usage,
) -> anyhow::Result<AllRecovered> {
    let started = Instant::now();
    let now = Clock::start(UnixMs::default()).now();
    let spread = Spread::new(rand::random());
    let is_done = AtomicBool::new(false);
    let recovered = thread::scope(|scope| {
        let progress = scope.spawn(|| log_progress(journal, &is_done));
        let recover_worker =
            |worker| recover_worker(journal, &shards_of(worker, workers), now, spread, usage);
        let threads: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || recover_worker(worker)))
            .collect();
        let recovered: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().expect("a panic ends the process"))
            .collect();
        is_done.store(true, Ordering::SeqCst);
        progress.thread().unpark();
        recovered
    });
    let mut all = AllRecovered {
        shards: Vec::with_capacity(workers),
        unread: 0,
        high_water: HighWater::default(),
        took: Duration::ZERO,
    };
    for worker in recovered {
        let worker = worker.context("cannot recover")?;
        all.unread += worker.unread;
        all.high_water = all.high_water.max(worker.high_water);
        all.shards.push(worker.shards);
    }
    all.took = started.elapsed();
    Ok(all)
}

fn recover_worker(
    journal: &LocalJournal,
    shards: &[crate::domain::username::ShardId],
    now: UnixMs,
    spread: Spread,
    usage: &Usage,
) -> Result<Recovered, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|source| StoreError::Io {
        action: "cannot start the recovery of",
        path: "the journal".into(),
        source,
    })?;
    runtime.block_on(recover(journal, shards, now, spread, usage))
}

fn log_progress(journal: &LocalJournal, is_done: &AtomicBool) {
    loop {
        thread::park_timeout(PROGRESS_INTERVAL);
        if is_done.load(Ordering::SeqCst) {
            return;
        }
        let (done, total) = (journal.replay_bytes_done(), journal.replay_bytes_total());
        let percent = done * 100 / total.max(1);
        tracing::info!(
            percent,
            done_bytes = done,
            total_bytes = total,
            "recovering the journal"
        );
    }
}
