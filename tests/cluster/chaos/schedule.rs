//! What befalls a cluster and when, as a pure function of a seed.

use std::fmt;
use std::time::Duration;

use crate::support::Seeded;

/// Nodes that there may be.
pub const NODES: usize = 5;

/// The longest time between two faults, in milliseconds: some clusters have hard times, others get a
/// lot of work done in between.
const APART_MAX_MS: [usize; 3] = [2_500, 5_000, 9_000];
const APART_MIN_MS: usize = 200;

/// How long a fault lasts, in milliseconds; mostly shorter than a lease, and sometimes longer.
const PROCESS_MS: (usize, usize) = (200, 10_000);
const NETWORK_MS: (usize, usize) = (500, 8_000);
const STORE_MS: (usize, usize) = (500, 4_000);

/// What happens, once or for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node ends without a word; it starts again when the time is over, at another port if it moves.
    Kill { node: usize, moves: bool },
    /// A node hangs.
    Pause { node: usize },
    /// A node is asked to end, and starts again as soon as it has.
    Replace { node: usize },
    /// A node is asked to end, and stays away.
    Leave { node: usize },
    /// A node begins that was not there.
    Join { node: usize },
    /// What one node sends to another is lost; also the other way if both are cut.
    Cut { from: usize, to: usize, both: bool },
    /// What a node asks the store, or what it is answered, waits; or both.
    StoreCut {
        node: usize,
        asks: bool,
        answers: bool,
    },
    /// The connections of a node to the store break off.
    StoreReset { node: usize },
    /// What a node and Redis say to each other waits.
    RedisCut { node: usize },
    /// A node is cut from everything but clients.
    Isolate { node: usize },
    /// The store hangs.
    StoreHang,
    /// Redis ends, and comes back empty.
    RedisKill,
    /// Redis hangs.
    RedisHang,
    /// Redis forgets everything.
    RedisWipe,
}

/// A fault in its time.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// From the beginning.
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

/// What befalls one cluster.
pub struct Schedule {
    /// How many nodes there are first, from 0 on.
    pub nodes: usize,
    pub steps: Vec<Step>,
}

impl Schedule {
    /// The schedule of a seed. One of a longer time begins with that of a shorter.
    pub fn new(seed: u64, length: Duration) -> Schedule {
        let mut seeded = Seeded(seed);
        let nodes = *seeded.pick(&[1, 2, 3, 3, 3, 3, 4, 5]);
        let apart_ms = (APART_MIN_MS, *seeded.pick(&APART_MAX_MS));
        let mut maker = Maker {
            seeded,
            is_member: std::array::from_fn(|node| node < nodes),
            process_free: [Duration::ZERO; NODES],
            redis_free: Duration::ZERO,
        };
        let mut at = Duration::ZERO;
        let mut steps = Vec::new();
        loop {
            at += maker.time(apart_ms);
            if at >= length {
                return Schedule { nodes, steps };
            }
            let (fault, lasts) = maker.next(at);
            steps.push(Step { at, lasts, fault });
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes", self.nodes)?;
        for Step { at, lasts, fault } in &self.steps {
            writeln!(f, "{:>7.3} s {fault:?} for {lasts:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Chooses faults that can happen when they are to.
struct Maker {
    seeded: Seeded,
    is_member: [bool; NODES],
    /// From when on something else may be done to the process of each node, and to Redis.
    process_free: [Duration; NODES],
    redis_free: Duration,
}

impl Maker {
    fn next(&mut self, at: Duration) -> (Fault, Duration) {
        loop {
            let drawn = self.draw(at);
            if let Some((fault, lasts)) = drawn {
                return (fault, lasts);
            }
        }
    }

    /// A fault, unless it cannot happen at this time.
    fn draw(&mut self, at: Duration) -> Option<(Fault, Duration)> {
        let node = self.seeded.below(NODES);
        let coin = self.seeded.below(2) == 0;
        match self.seeded.below(32) {
            0..6 => self.process(at, node, true, Fault::Kill { node, moves: coin }),
            6..10 => self.process(at, node, true, Fault::Pause { node }),
            10..12 => self.process(at, node, true, Fault::Replace { node }),
            12 => self.process(at, node, true, Fault::Leave { node }),
            13..15 => self.process(at, node, false, Fault::Join { node }),
            15..20 => self.cut(node, coin),
            20..24 => self.store_cut(node),
            24 => self.network(node, Fault::StoreReset { node }),
            25..27 => self.network(node, Fault::RedisCut { node }),
            27..29 => self.network(node, Fault::Isolate { node }),
            29 => Some((Fault::StoreHang, self.lasts(STORE_MS))),
            _ => self.redis(at),
        }
    }

    fn process(
        &mut self,
        at: Duration,
        node: usize,
        is_member: bool,
        fault: Fault,
    ) -> Option<(Fault, Duration)> {
        if self.is_member[node] != is_member || self.process_free[node] > at {
            return None;
        }
        let lasts = self.lasts(PROCESS_MS);
        let members = self
            .is_member
            .iter()
            .filter(|is_member| **is_member)
            .count();
        match fault {
            Fault::Leave { .. } if members == 1 => return None,
            Fault::Leave { .. } => self.is_member[node] = false,
            Fault::Join { .. } => self.is_member[node] = true,
            _ => {}
        }
        self.process_free[node] = at + lasts;
        Some((fault, lasts))
    }

    fn cut(&mut self, from: usize, both: bool) -> Option<(Fault, Duration)> {
        let to = self.seeded.below(NODES);
        if from == to || !self.is_member[to] {
            return None;
        }
        self.network(from, Fault::Cut { from, to, both })
    }

    fn store_cut(&mut self, node: usize) -> Option<(Fault, Duration)> {
        let (asks, answers) = *self
            .seeded
            .pick(&[(true, true), (true, false), (false, true)]);
        let fault = Fault::StoreCut {
            node,
            asks,
            answers,
        };
        self.network(node, fault)
    }

    fn network(&mut self, node: usize, fault: Fault) -> Option<(Fault, Duration)> {
        let lasts = self.lasts(NETWORK_MS);
        self.is_member[node].then_some((fault, lasts))
    }

    fn redis(&mut self, at: Duration) -> Option<(Fault, Duration)> {
        if self.redis_free > at {
            return None;
        }
        let faults = [Fault::RedisKill, Fault::RedisHang, Fault::RedisWipe];
        let (fault, lasts) = (*self.seeded.pick(&faults), self.lasts(PROCESS_MS));
        self.redis_free = at + lasts;
        Some((fault, lasts))
    }

    /// Rather a short time than a long one.
    fn lasts(&mut self, bounds_ms: (usize, usize)) -> Duration {
        self.time(bounds_ms).min(self.time(bounds_ms))
    }

    fn time(&mut self, (least_ms, most_ms): (usize, usize)) -> Duration {
        let ms = least_ms + self.seeded.below(most_ms - least_ms);
        Duration::from_millis(ms as u64)
    }
}

#[test]
fn a_seed_has_one_schedule_and_a_longer_time_only_continues_it() {
    let of = |secs| Schedule::new(7, Duration::from_secs(secs)).to_string();
    assert_eq!(of(60), of(60));
    assert!(of(120).starts_with(&of(60)));
    let other = Schedule::new(8, Duration::from_secs(60)).to_string();
    assert_ne!(of(60), other);
}
