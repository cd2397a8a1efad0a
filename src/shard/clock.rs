//! The time of this process: the wall clock at the start, moved by the monotonic clock since.
//!
//! A step of the wall clock does not move it; it is followed at the next start. It starts at or
//! after everything that was recorded before, so no deadline is ever un-passed.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::UnixMs;

/// A clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at: UnixMs,
    started: Instant,
}

impl Clock {
    /// A clock that reads the wall's time, but at least `floor`.
    pub fn start(floor: UnixMs) -> Clock {
        Clock {
            started_at: wall().max(floor),
            started: Instant::now(),
        }
    }

    /// The time now.
    pub fn now(&self) -> UnixMs {
        self.started_at
            .plus_ms(self.started.elapsed().as_millis() as u64)
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
