//! The time of this process: the wall clock at the start, moved by the monotonic clock since.
//!
//! A step of the wall clock does not move it; it is followed at the next start, and by a node of a
//! cluster while it has no shards. On one machine it starts at or after everything that was recorded
//! before, so no deadline is ever un-passed; in a cluster each shard sees to that for itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::UnixMs;

/// A clock that does not go back. A copy is the same clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at_ms: &'static AtomicU64,
    started: Instant,
}

impl Clock {
    /// A clock that reads the wall's time, but at least `floor`.
    pub fn start(floor: UnixMs) -> Clock {
        // One for each process, and read by all its threads at every call.
        let started_at_ms = Box::leak(Box::new(AtomicU64::new(wall().max(floor).0)));
        Clock {
            started_at_ms,
            started: Instant::now(),
        }
    }

    /// The time now.
    pub fn now(&self) -> UnixMs {
        UnixMs(self.started_at_ms.load(Ordering::Relaxed)).plus_ms(self.running_ms())
    }

    /// Follows the wall clock, back too: only while nothing here remembers a time.
    pub fn follow_wall(&self) {
        let started_at_ms = wall().0.saturating_sub(self.running_ms());
        self.started_at_ms.store(started_at_ms, Ordering::Relaxed);
    }

    fn running_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// How far the wall clock is ahead of this one, in milliseconds; negative when behind.
    pub fn wall_ahead_ms(&self) -> i64 {
        wall().0 as i64 - self.now().0 as i64
    }
}

fn wall() -> UnixMs {
    UnixMs(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64),
    )
}
