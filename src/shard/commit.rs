//! Group commit and its gate: one thread writes what all workers staged, then tells each of them.
//!
//! While one group is on its way to the disk the next one fills, so a slower disk makes larger
//! groups by itself. A failed write ends the process: what is in memory may then be more than what
//! a restart finds, and nobody was told of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use actix::{Message, Recipient};

use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::group::Group;
use crate::store::journal::Journal;

/// Bytes that one worker may stage; posts are refused beyond.
pub const STAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often it is looked whether the committer has ended.
const STOP_PAUSE: Duration = Duration::from_millis(1);

/// What one worker has decided since the last group, guarded for the two who touch it.
#[derive(Debug)]
pub struct Staging {
    stage: Mutex<Stage>,
    doorbell: Arc<Doorbell>,
    listener: OnceLock<Recipient<Committed>>,
}

/// Events of one worker that will be committed together.
#[derive(Debug)]
pub struct Stage {
    /// The number of this batch: 1, 2, 3 …
    pub batch: u64,
    /// Its events.
    pub group: Group,
}

/// Everything that a worker staged in batches up to this number is durable, and its shards were this
/// process's after that.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// The last batch.
    pub batch: u64,
    /// But for these shards.
    pub lost: Arc<[ShardId]>,
}

impl Staging {
    /// The batch that is being filled.
    pub fn lock(&self) -> MutexGuard<'_, Stage> {
        // A panic in a shard ends the process before anyone could see a half-written stage.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the committer that there is something to commit.
    pub fn ring(&self) {
        self.doorbell.ring();
    }

    /// Sets who is told of commits; once, before anything is staged.
    pub fn listen(&self, listener: Recipient<Committed>) {
        self.listener
            .set(listener)
            .expect("one host listens to its staging");
    }
}

/// The running committer.
#[derive(Debug)]
pub struct Committer {
    stagings: Vec<Arc<Staging>>,
    doorbell: Arc<Doorbell>,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts a committer for so many workers. After a group it waits for `pause` before it takes
    /// the next one. `failed` is called once, on the committer's thread, when a write failed.
    pub fn start<J: Journal>(
        journal: Arc<J>,
        workers: usize,
        pause: Pause,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> std::io::Result<Committer> {
        let doorbell = Arc::new(Doorbell::default());
        let staging = || {
            let stage = Mutex::new(Stage {
                batch: 1,
                group: Group::default(),
            });
            Arc::new(Staging {
                stage,
                doorbell: doorbell.clone(),
                listener: OnceLock::new(),
            })
        };
        let stagings: Vec<_> = std::iter::repeat_with(staging).take(workers).collect();
        let (mine, bell) = (stagings.clone(), doorbell.clone());
        let run = move || {
            if let Err(error) = run(journal.as_ref(), &mine, &bell, pause) {
                failed(error);
            }
        };
        let thread = thread::Builder::new().name("committer".into()).spawn(run)?;
        doorbell.thread.get_or_init(|| thread.thread().clone());
        Ok(Committer {
            stagings,
            doorbell,
            thread,
        })
    }

    /// The staging of one worker.
    pub fn staging(&self, worker: usize) -> Arc<Staging> {
        self.stagings[worker].clone()
    }

    /// Commits what is staged and ends, and tells whether that was done `within` this time: a store that
    /// is silent may keep a commit for ever.
    pub fn stop(self, within: Duration) -> bool {
        self.doorbell.stopping.store(true, Ordering::SeqCst);
        self.doorbell.ring();
        let until = Instant::now() + within;
        while !self.thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(STOP_PAUSE);
        }
        let ended = self.thread.join();
        assert!(ended.is_ok(), "the committer does not panic");
        true
    }
}

/// How long the committer lets the next group fill, by the size of the last one. A lone request
/// does not make the next one wait.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// For each record but the first.
    pub per_record: Duration,
    /// At most.
    pub longest: Duration,
}

impl Pause {
    fn after(&self, records: u32) -> Duration {
        let pause = self.per_record.saturating_mul(records.saturating_sub(1));
        pause.min(self.longest)
    }
}

fn run<J: Journal>(
    journal: &J,
    stagings: &[Arc<Staging>],
    doorbell: &Doorbell,
    pause: Pause,
) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| StoreError::Io {
        action: "cannot start the committer for",
        path: "the journal".into(),
        source,
    })?;
    let (mut group, mut taken) = (Group::default(), Vec::with_capacity(stagings.len()));
    let none_lost: Arc<[ShardId]> = Arc::new([]);
    loop {
        let stopping = doorbell.wait();
        take_all(stagings, &mut group, &mut taken);
        if !taken.is_empty() {
            let appended = runtime.block_on(journal.append(&group))?;
            let lost = match appended.lost {
                lost if lost.is_empty() => none_lost.clone(),
                lost => lost.into(),
            };
            for (staging, batch) in taken.drain(..) {
                if let Some(listener) = staging.listener.get() {
                    let lost = lost.clone();
                    listener.do_send(Committed { batch, lost });
                }
            }
        } else if stopping {
            return Ok(());
        }
        let wait = pause.after(group.len());
        group.clear();
        if !wait.is_zero() && !stopping {
            thread::sleep(wait);
        }
    }
}

/// Moves what every worker staged into one group and notes which batches that were.
fn take_all<'a>(
    stagings: &'a [Arc<Staging>],
    group: &mut Group,
    taken: &mut Vec<(&'a Staging, u64)>,
) {
    for staging in stagings {
        let mut stage = staging.lock();
        if !stage.group.is_empty() {
            group.append(&mut stage.group);
            taken.push((staging, stage.batch));
            stage.batch += 1;
        }
    }
}

/// Wakes the committer, cheaply when it is awake.
#[derive(Debug, Default)]
struct Doorbell {
    rung: AtomicBool,
    stopping: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Doorbell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Waits for a ring; tells whether it was the last one.
    fn wait(&self) -> bool {
        while !self.rung.swap(false, Ordering::SeqCst) {
            if self.stopping.load(Ordering::SeqCst) {
                return true;
            }
            thread::park();
        }
        self.stopping.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
