//! Group commit and its gate: one thread, or one task among the store's, writes what all workers staged,
//! then tells each of them.
//!
//! While one group is on its way to the disk the next one fills, so a slower disk makes larger
//! groups by itself. A failed write ends the process: what is in memory may then be more than what
//! a restart finds, and nobody was told of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::group::Group;
use crate::store::journal::{Appended, Journal};

/// Bytes that one worker may stage; posts are refused beyond.
pub const STAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// With so many bytes staged by one worker a committer on a thread of its own pauses no longer.
const REST_BYTES_MAX: usize = 1024 * 1024;

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

    /// Tells the committer that there is something to commit, so many bytes by now.
    pub fn ring(&self, staged_bytes: usize) {
        self.doorbell.ring();
        if staged_bytes >= REST_BYTES_MAX {
            self.doorbell.hurry();
        }
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
    running: Running,
}

#[derive(Debug)]
enum Running {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Committer {
    /// Starts a committer for so many workers, on a thread of its own. After a group it waits for `pause`
    /// before it takes the next one. `failed` is called once, on the committer's thread, when a write
    /// failed.
    pub fn start<J: Journal>(
        journal: Arc<J>,
        workers: usize,
        pause: Pause,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> std::io::Result<Committer> {
        let (stagings, doorbell) = stagings(workers);
        let (mut work, bell) = (Work::of(&stagings), doorbell.clone());
        let run = move || {
            if let Err(error) = run(journal.as_ref(), &mut work, &bell, pause) {
                failed(error);
            }
        };
        let thread = thread::Builder::new().name("committer".into()).spawn(run)?;
        doorbell.thread.get_or_init(|| thread.thread().clone());
        Ok(Committer {
            stagings,
            doorbell,
            running: Running::Thread(thread),
        })
    }

    /// Starts a committer for so many workers among the tasks of the store, which is what it waits for:
    /// a group costs no change of threads then.
    pub fn start_on<J: Journal>(
        on: &Handle,
        journal: Arc<J>,
        workers: usize,
        pause: Pause,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Committer {
        let (stagings, doorbell) = stagings(workers);
        let (mut work, bell) = (Work::of(&stagings), doorbell.clone());
        let task = on.spawn(async move {
            if let Err(error) = run_among_others(journal.as_ref(), &mut work, &bell, pause).await {
                failed(error);
            }
        });
        Committer {
            stagings,
            doorbell,
            running: Running::Task(task),
        }
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
        self.doorbell.hurry();
        let until = Instant::now() + within;
        while !self.running.has_ended() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(STOP_PAUSE);
        }
        true
    }
}

impl Running {
    fn has_ended(&self) -> bool {
        match self {
            Running::Thread(thread) => thread.is_finished(),
            Running::Task(task) => task.is_finished(),
        }
    }
}

fn stagings(workers: usize) -> (Vec<Arc<Staging>>, Arc<Doorbell>) {
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
    let stagings = std::iter::repeat_with(staging).take(workers).collect();
    (stagings, doorbell)
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
    work: &mut Work,
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
    loop {
        let stopping = doorbell.wait();
        if work.take() {
            work.tell(runtime.block_on(journal.append(&work.group))?);
        } else if stopping {
            return Ok(());
        }
        let wait = pause.after(work.group.len());
        if !wait.is_zero() && !stopping {
            doorbell.rest(wait);
        }
    }
}

async fn run_among_others<J: Journal>(
    journal: &J,
    work: &mut Work,
    doorbell: &Doorbell,
    pause: Pause,
) -> Result<(), StoreError> {
    loop {
        let stopping = doorbell.rung().await;
        if work.take() {
            work.tell(journal.append(&work.group).await?);
        } else if stopping {
            return Ok(());
        }
        let wait = pause.after(work.group.len());
        if !wait.is_zero() && !stopping {
            tokio::time::sleep(wait).await;
        }
    }
}

/// A group, and whose it is.
struct Work {
    stagings: Vec<Arc<Staging>>,
    group: Group,
    /// The places of the workers who staged something, with their batches.
    taken: Vec<(usize, u64)>,
    none_lost: Arc<[ShardId]>,
}

impl Work {
    fn of(stagings: &[Arc<Staging>]) -> Work {
        Work {
            stagings: stagings.to_vec(),
            group: Group::default(),
            taken: Vec::with_capacity(stagings.len()),
            none_lost: Arc::new([]),
        }
    }

    /// Makes one group of what every worker staged; tells whether there is anything.
    fn take(&mut self) -> bool {
        self.group.clear();
        for (worker, staging) in self.stagings.iter().enumerate() {
            let mut stage = staging.lock();
            if !stage.group.is_empty() {
                self.group.append(&mut stage.group);
                self.taken.push((worker, stage.batch));
                stage.batch += 1;
            }
        }
        !self.taken.is_empty()
    }

    /// Tells the workers that the group is durable.
    fn tell(&mut self, appended: Appended) {
        let lost = match appended.lost {
            lost if lost.is_empty() => self.none_lost.clone(),
            lost => lost.into(),
        };
        for (worker, batch) in self.taken.drain(..) {
            if let Some(listener) = self.stagings[worker].listener.get() {
                let lost = lost.clone();
                listener.do_send(Committed { batch, lost });
            }
        }
    }
}

/// Wakes the committer, cheaply when it is awake.
#[derive(Debug, Default)]
struct Doorbell {
    rung: AtomicBool,
    stopping: AtomicBool,
    /// Nothing but hurry wakes the committer now.
    resting: AtomicBool,
    /// So much is staged that the committer should not rest.
    hurried: AtomicBool,
    /// The committer's own, if it has one.
    thread: OnceLock<Thread>,
    /// For the committer among other tasks.
    notify: Notify,
}

impl Doorbell {
    fn ring(&self) {
        if self.rung.swap(true, Ordering::SeqCst) || self.resting.load(Ordering::SeqCst) {
            return;
        }
        match self.thread.get() {
            Some(thread) => thread.unpark(),
            None => self.notify.notify_one(),
        }
    }

    /// Ends the rest of a committer on a thread of its own, or leaves out its next one.
    fn hurry(&self) {
        if !self.hurried.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Waits so long, or until there is hurry. A ring is heard by [`Doorbell::wait`] afterwards.
    fn rest(&self, longest: Duration) {
        self.resting.store(true, Ordering::SeqCst);
        let until = Instant::now() + longest;
        while !self.hurried.swap(false, Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        self.resting.store(false, Ordering::SeqCst);
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

    /// The same in a task.
    async fn rung(&self) -> bool {
        while !self.rung.swap(false, Ordering::SeqCst) {
            if self.stopping.load(Ordering::SeqCst) {
                return true;
            }
            self.notify.notified().await;
        }
        self.stopping.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
