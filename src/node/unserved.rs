//! Shards that their owner does not serve, although it lives and tells what it serves: it could not read
//! their journal, has no memory for them, or may claim nothing any more. Pure: signs and times come in.
//!
//! To take such a shard is always safe, so this is only about time: an owner that is still recovering a
//! shard must not lose it to another that takes as long.

use std::time::{Duration, Instant};

use cluster::member::{Generation, State};

use crate::domain::username::{SHARDS, ShardId};

/// An owner that drains claims nothing again: what it does not serve by then is nobody's.
const PATIENCE_WITH_DRAINERS: Duration = Duration::from_secs(3);

/// Another owner may be recovering it. Twice as long for the next owner that does not serve it, and so
/// on: maybe it takes that long.
const PATIENCE: Duration = Duration::from_secs(60);
const DOUBLINGS_MAX: u32 = 6;

/// What the owners of shards have told.
#[derive(Debug)]
pub struct Unserved {
    missed: Vec<Option<Missed>>,
}

/// An owner does not say that it serves a shard.
#[derive(Clone, Copy, Debug)]
struct Missed {
    owner: Generation,
    /// The first sign without the shard, and the last.
    since: Instant,
    last: Instant,
    /// Owners before, since the shard was served.
    before: u32,
}

impl Default for Unserved {
    fn default() -> Unserved {
        Unserved {
            missed: vec![None; SHARDS],
        }
    }
}

impl Unserved {
    /// The owner of a shard, by the latest claim, gave a sign of life, and says whether it serves it. That
    /// it claims it again and again does not help anybody.
    pub fn heard(&mut self, shard: ShardId, owner: Generation, serves: bool, now: Instant) {
        let missed = &mut self.missed[shard.index()];
        match missed {
            _ if serves => *missed = None,
            Some(same) if same.owner == owner => same.last = now,
            _ => {
                let before = missed.map_or(0, |missed| missed.before + 1);
                *missed = Some(Missed {
                    owner,
                    since: now,
                    last: now,
                    before,
                });
            }
        }
    }

    /// Whether the shard is to be taken for nobody's, although its claim names this owner.
    pub fn is_neglected(&self, shard: ShardId, owner: Generation, state: State) -> bool {
        let Some(missed) = self.missed[shard.index()].filter(|missed| missed.owner == owner) else {
            return false;
        };
        let patience = match state {
            State::Draining => PATIENCE_WITH_DRAINERS,
            State::Joining | State::Serving => PATIENCE * (1 << missed.before.min(DOUBLINGS_MAX)),
        };
        missed.last.saturating_duration_since(missed.since) >= patience
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SHARD: ShardId = ShardId(7);
    const ONE: Generation = Generation(Uuid::from_u128(1));
    const TWO: Generation = Generation(Uuid::from_u128(2));

    #[test]
    fn what_a_drainer_does_not_serve_for_3_s_is_nobodys() {
        let (mut unserved, start) = (Unserved::default(), Instant::now());
        assert!(!unserved.is_neglected(SHARD, ONE, State::Draining));
        unserved.heard(SHARD, ONE, false, start);
        let almost = start + PATIENCE_WITH_DRAINERS - MS;
        unserved.heard(SHARD, ONE, false, almost);
        assert!(!unserved.is_neglected(SHARD, ONE, State::Draining));
        unserved.heard(SHARD, ONE, false, almost + MS);
        assert!(unserved.is_neglected(SHARD, ONE, State::Draining));
        assert!(!unserved.is_neglected(SHARD, ONE, State::Serving));
        assert!(!unserved.is_neglected(SHARD, TWO, State::Draining));
    }

    #[test]
    fn what_is_served_is_not_neglected_and_its_time_begins_anew() {
        let (mut unserved, start) = (Unserved::default(), Instant::now());
        let later = start + PATIENCE_WITH_DRAINERS;
        unserved.heard(SHARD, ONE, false, start);
        unserved.heard(SHARD, ONE, true, later);
        unserved.heard(SHARD, ONE, false, later);
        assert!(!unserved.is_neglected(SHARD, ONE, State::Draining));
        unserved.heard(SHARD, ONE, false, later + PATIENCE_WITH_DRAINERS);
        assert!(unserved.is_neglected(SHARD, ONE, State::Draining));
    }

    #[test]
    fn each_owner_that_does_not_serve_it_either_gets_twice_the_time() {
        let (mut unserved, start) = (Unserved::default(), Instant::now());
        let is_neglected = |unserved: &Unserved, owner| {
            let states = [State::Serving, State::Joining];
            let neglected = states.map(|state| unserved.is_neglected(SHARD, owner, state));
            assert_eq!(neglected[0], neglected[1]);
            neglected[0]
        };
        unserved.heard(SHARD, ONE, false, start);
        unserved.heard(SHARD, ONE, false, start + PATIENCE);
        assert!(is_neglected(&unserved, ONE));
        let next = start + PATIENCE;
        unserved.heard(SHARD, TWO, false, next);
        unserved.heard(SHARD, TWO, false, next + 2 * PATIENCE - MS);
        assert!(!is_neglected(&unserved, TWO));
        unserved.heard(SHARD, TWO, false, next + 2 * PATIENCE);
        assert!(is_neglected(&unserved, TWO));
        unserved.heard(SHARD, TWO, true, next + 2 * PATIENCE);
        unserved.heard(SHARD, ONE, false, next);
        unserved.heard(SHARD, ONE, false, next + PATIENCE);
        assert!(is_neglected(&unserved, ONE), "it was served between");
    }
}
