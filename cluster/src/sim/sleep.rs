//! The whole cluster is off for a year and then starts again.
//!
//! It owns the sleep. What was on its way when the power went arrives after it, so that a write of
//! last year surfaces then.

use std::cmp::Reverse;

use super::world::{Event, World};

/// How long nobody runs.
const SLEEP_US: u64 = 365 * 24 * 60 * 60 * 1_000_000;

/// After the start there are new requests for so long.
const AWAKE_US: u64 = 1_500_000;

/// After the start the promise is held against what is left.
const CHECKED_US: u64 = 4_500_000;

impl World {
    pub(super) fn sleep(&mut self) {
        self.note(|| "the cluster is off for a year".to_owned());
        self.leases.clear();
        let late = std::mem::take(&mut self.agenda);
        let late = late.into_iter().map(|Reverse((at, n))| (at + SLEEP_US, n));
        self.agenda = late.map(Reverse).collect();
        let wakes_us = self.now_us + SLEEP_US;
        self.quiet_us = wakes_us + AWAKE_US;
        self.end_us = wakes_us + CHECKED_US;
        for index in 0..self.slots.len() {
            self.slots[index].node = None;
            self.slots[index].paused_us = 0;
            let after_us = SLEEP_US + self.chance.below(300_000);
            self.after(after_us, Event::Start(index));
        }
        self.after(SLEEP_US + 100_000, Event::Request);
    }
}
