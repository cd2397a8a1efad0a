//! The archiver: one thread that moves endings from the shards to the archive, about once a second.
//!
//! A shard forgets an ending only when it is told `Archived`, after the row is durable. A batch that
//! fails is repeated until it succeeds; when that takes long, posts are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};

use super::clock::Clock;
use crate::domain::message::Ended;
use crate::domain::time::UnixMs;
use crate::domain::username::{SHARDS, ShardId};
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::archive::Archive;

/// The pause before a batch that failed is repeated.
const REPEAT_PAUSE: Duration = Duration::from_secs(1);

/// How often old days are dropped.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How the archiver goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often rows are written, at most.
    pub interval: Duration,
    /// How long the archive may fail before posts are refused.
    pub patience: Duration,
}

impl Pace {
    /// On one machine: every write costs some syncs of the disk, whatever its size, and what fails is most likely a
    /// disk that is full.
    pub const ALONE: Pace = Pace {
        interval: Duration::from_secs(1),
        patience: Duration::ZERO,
    };

    /// In a cluster: expiry pauses already, and a message is to be archived within 2 s. One call of many that fails, or
    /// a server that restarts, is no reason to refuse anything.
    pub const CLUSTER: Pace = Pace {
        interval: Duration::from_millis(500),
        patience: Duration::from_secs(10),
    };
}

/// Endings of some shards of one worker.
#[derive(Debug)]
pub struct FlushBatch {
    /// The endings by shard and stay of the shard on its host; their events are durable.
    pub parts: Vec<FlushPart>,
    /// Who is told when they are archived.
    pub reply: Recipient<Archived>,
}

/// A shard, its stay on its host, and endings of it.
pub type FlushPart = (ShardId, u64, Arc<Vec<Ended>>);

/// The archive holds what these shards handed over in these stays.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Archived(pub Vec<(ShardId, u64)>);

/// The way to the archiver's thread.
#[derive(Clone, Debug)]
pub struct Archiver {
    batches: SyncSender<FlushBatch>,
    is_failing: Arc<AtomicBool>,
}

impl Archiver {
    /// Starts the archiver. It ends when the last way to it is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<A: Archive>(
        archive: Arc<A>,
        retention: Option<Duration>,
        pace: Pace,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Archiver> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (batches, queue) = sync_channel(SHARDS);
        let is_failing = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            archive,
            retention,
            pace,
            clock,
            metrics,
            is_failing: is_failing.clone(),
            runtime,
        };
        thread::Builder::new()
            .name("archiver".into())
            .spawn(move || worker.run(&queue))?;
        Ok(Archiver {
            batches,
            is_failing,
        })
    }

    /// Hands a batch over; gives it back when the queue is full.
    ///
    /// # Errors
    /// The batch, to be offered again later.
    pub fn offer(&self, batch: FlushBatch) -> Result<(), FlushBatch> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        self.batches
            .try_send(batch)
            .map_err(|(Full(batch) | Disconnected(batch))| batch)
    }

    /// Whether nothing could be written for as long as was to be borne.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }
}

struct Worker<A> {
    archive: Arc<A>,
    retention: Option<Duration>,
    pace: Pace,
    clock: Clock,
    metrics: Arc<Metrics>,
    is_failing: Arc<AtomicBool>,
    runtime: tokio::runtime::Runtime,
}

impl<A: Archive> Worker<A> {
    fn run(&self, queue: &Receiver<FlushBatch>) {
        let mut drop_at = Instant::now();
        loop {
            if Instant::now() >= drop_at {
                self.drop_old();
                drop_at = Instant::now() + RETENTION_INTERVAL;
            }
            match queue.recv_timeout(drop_at.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    thread::sleep(self.pace.interval);
                    self.archive_all(std::iter::once(first).chain(queue.try_iter()).collect());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes the rows, however often that takes, then tells the hosts.
    fn archive_all(&self, batches: Vec<FlushBatch>) {
        let parts = || batches.iter().flat_map(|batch| &batch.parts);
        let rows = || parts().flat_map(|(.., endings)| endings.iter());
        let mut failing_since = None;
        while let Err(error) = self.runtime.block_on(self.archive.put(rows())) {
            self.report(&error, *failing_since.get_or_insert_with(Instant::now));
            thread::sleep(REPEAT_PAUSE);
        }
        if self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the archive can be written again");
        }
        self.metrics.archived.inc_by(rows().count() as u64);
        for FlushBatch { parts, reply } in batches {
            let archived = parts.into_iter().map(|(shard, stay, _)| (shard, stay));
            reply.do_send(Archived(archived.collect()));
        }
    }

    fn report(&self, error: &StoreError, failing_since: Instant) {
        self.metrics.archive_errors.inc();
        if failing_since.elapsed() < self.pace.patience {
            tracing::warn!(%error, "cannot write the archive; the batch is repeated until it can");
        } else if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "cannot write the archive; posts are refused and the batch is repeated until it can");
        }
    }

    /// Goes by the process's time, as deadlines do: a step of the wall clock drops nothing.
    fn drop_old(&self) {
        let Some(retention) = self.retention else {
            return;
        };
        let now = self.clock.now();
        let before = UnixMs(now.0.saturating_sub(retention.as_millis() as u64));
        if let Err(error) = self.runtime.block_on(self.archive.drop_before(before)) {
            tracing::warn!(%error, "cannot drop archived messages past their retention; it is tried again in an hour");
        }
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;

#[cfg(test)]
impl Archiver {
    /// An archiver that leaves to the test what is offered to it.
    pub(super) fn of_test() -> (Archiver, Receiver<FlushBatch>) {
        let (batches, queue) = sync_channel(SHARDS);
        let archiver = Archiver {
            batches,
            is_failing: Arc::default(),
        };
        (archiver, queue)
    }

    /// Lets it be failing for long.
    pub(super) fn fail(&self) {
        self.is_failing.store(true, Ordering::Relaxed);
    }
}
