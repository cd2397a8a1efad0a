//! Letting go of old segments, and the thread that does the slow work of the journal.
//!
//! Segments go oldest first, when no shard needs them any more. First the base is made durable: a file
//! before the base counts for nothing, so that a crash during the rest loses and revives nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::allocate::Allocator;
use super::locked;
use super::register::Register;
use crate::domain::username::{SHARDS, ShardId};
use crate::store::StoreError;

/// How long after a failure to make room it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A segment that holds groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct InUse {
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The number of its first group.
    pub first_group: u64,
    /// Where its last frame ends; of the last segment the writer knows better.
    pub end: u64,
}

/// The segments in use, and what happens to them besides appending.
pub(super) struct Upkeep {
    /// Where new segments come from.
    pub allocator: Allocator,
    /// Oldest first; the last one is appended to.
    pub in_use: Mutex<VecDeque<InUse>>,
    /// The number of the last segment in use.
    active: AtomicU64,
    base: Mutex<Register>,
    /// What each shard still needs.
    needed_from: Vec<AtomicU64>,
    /// The least of `needed_from`.
    floor: AtomicU64,
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Default)]
struct Work {
    wanted: bool,
    stop: bool,
}

impl Upkeep {
    /// Upkeep of the segments `in_use`, of which every shard needs all from the base.
    pub(super) fn new(allocator: Allocator, in_use: VecDeque<InUse>, base: Register) -> Upkeep {
        let active = in_use.back().map_or(0, |segment| segment.number);
        let needed_from = (0..SHARDS).map(|_| AtomicU64::new(base.number()));
        Upkeep {
            allocator,
            in_use: Mutex::new(in_use),
            active: AtomicU64::new(active),
            needed_from: needed_from.collect(),
            floor: AtomicU64::new(base.number()),
            base: Mutex::new(base),
            work: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn start(self: &Arc<Upkeep>) -> std::io::Result<JoinHandle<()>> {
        let upkeep = Arc::clone(self);
        std::thread::Builder::new()
            .name("journal-upkeep".to_owned())
            .spawn(move || upkeep.run())
    }

    /// The number of the segment that is appended to.
    pub(super) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire)
    }

    /// Appending goes on in `next`; in the segment before, the last frame ends at `end`.
    pub(super) fn activate(&self, end: u64, next: InUse) {
        let mut in_use = locked(&self.in_use);
        if let Some(last) = in_use.back_mut() {
            last.end = end;
        }
        in_use.push_back(next);
        self.active.store(next.number, Ordering::Release);
        drop(in_use);
        self.notify();
    }

    /// Has the thread look for work now.
    pub(super) fn notify(&self) {
        locked(&self.work).wanted = true;
        self.wake.notify_one();
    }

    /// Ends the thread after what it is doing.
    pub(super) fn stop(&self) {
        locked(&self.work).stop = true;
        self.wake.notify_one();
    }

    /// `shard` needs nothing before segment `number` any more.
    pub(super) fn release(&self, shard: ShardId, number: u64) {
        let before = self.needed_from[shard.index()].fetch_max(number, Ordering::AcqRel);
        let floor = self.floor.load(Ordering::Acquire);
        if number <= before || before > floor {
            return;
        }
        let least = self
            .needed_from
            .iter()
            .map(|needed| needed.load(Ordering::Acquire))
            .min()
            .unwrap_or(floor);
        if self.floor.fetch_max(least, Ordering::AcqRel) < least {
            self.notify();
        }
    }

    fn run(&self) {
        let mut failed = false;
        while self.wait(failed) {
            let done = self.let_go().and(self.allocator.replenish());
            match &done {
                Err(error) if !failed => {
                    tracing::warn!(%error, "the journal cannot make room; posts are refused when the reserve is reached");
                }
                Ok(()) if failed => tracing::info!("the journal can make room again"),
                _ => {}
            }
            failed = done.is_err();
        }
    }

    /// Waits for work; `false` at the end.
    fn wait(&self, failed: bool) -> bool {
        let mut work = locked(&self.work);
        while !work.wanted && !work.stop {
            if failed {
                work = self
                    .wake
                    .wait_timeout(work, RETRY)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                break;
            }
            work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        work.wanted = false;
        !work.stop
    }

    fn let_go(&self) -> Result<(), StoreError> {
        let active = self.active();
        let floor = self.floor.load(Ordering::Acquire).min(active);
        let mut base = locked(&self.base);
        if floor > base.number() {
            base.set(floor)?;
        }
        loop {
            let oldest = locked(&self.in_use).front().copied();
            let Some(oldest) = oldest.filter(|segment| segment.number < floor) else {
                return Ok(());
            };
            self.allocator.recycle(oldest.number, oldest.size)?;
            locked(&self.in_use).pop_front();
        }
    }
}
