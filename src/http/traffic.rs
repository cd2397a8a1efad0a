//! Requests under way, and the word that no more are wanted: what the end of the process waits for.
//!
//! A request may need the shards of any worker, so none may stop while another still answers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The requests of all workers.
#[derive(Debug)]
pub struct Traffic {
    is_closing: AtomicBool,
    workers: Box<[Worker]>,
}

/// On a line of the cache of its own, as every request changes it twice.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Worker {
    under_way: AtomicUsize,
}

/// One request; it is under way until this is dropped.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Worker);

impl Traffic {
    /// No requests on so many workers.
    pub fn new(workers: usize) -> Traffic {
        Traffic {
            is_closing: AtomicBool::new(false),
            workers: std::iter::repeat_with(Worker::default)
                .take(workers)
                .collect(),
        }
    }

    /// A request that a worker begins to answer.
    pub fn enter(&self, worker: usize) -> UnderWay<'_> {
        let worker = &self.workers[worker];
        worker.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(worker)
    }

    /// From now on every answer is the last one of its connection.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// Whether connections end with their next answer.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        let counts = self.workers.iter();
        counts.map(|w| w.under_way.load(Ordering::SeqCst)).sum()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}
