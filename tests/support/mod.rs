//! What the black-box tests share: a server that is a real process, a client that shows every byte,
//! and the record of what clients did. Knows nothing of the service's code but the checker of histories.

#![allow(dead_code, reason = "each test target uses a part of this")]

pub mod client;

pub mod history;

pub mod server;

use std::time::{Duration, Instant};

/// How long anything that must happen soon may take on a loaded machine, three CQL servers beside it.
pub const SOON: Duration = Duration::from_secs(60);

/// How often something that must happen is looked for.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `look` finds something.
///
/// # Panics
/// When it found nothing within [`SOON`]; `what` tells what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Pseudo-random numbers from a seed (SplitMix64), the same in every run.
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
