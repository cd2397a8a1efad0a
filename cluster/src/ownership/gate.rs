//! The output gate of one node (R4): nothing leaves before a fence read that started after it was
//! durable.
//!
//! It owns which fence read covers which question: a read covers everything that was asked before it
//! started, at most one is in flight, and none is made when nothing was asked. How often reads may
//! start is the shell's.

use std::collections::BTreeMap;

use super::tenure::NoAnswer;
use crate::shard::{Epoch, Shard};

/// What a fence read said of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody claimed it since: give [`super::tenure::Input::Passed`].
    Passed {
        /// The shard.
        shard: Shard,
        /// The epoch that asked.
        epoch: Epoch,
        /// Everything up to this mark.
        through: u64,
    },
    /// It was claimed: give [`super::tenure::Input::Seen`].
    Lost {
        /// The shard.
        shard: Shard,
        /// The epoch of the claimant.
        epoch: Epoch,
    },
}

/// Collects questions and answers them by fence reads.
#[derive(Debug, Default)]
pub struct Gate {
    /// Asked since the last read started.
    waiting: Vec<Ask>,
    /// Covered by the read in flight; empty without one.
    covered: Vec<Ask>,
    /// The highest fence of each shard that was ever read; fences only grow.
    fences: BTreeMap<Shard, Epoch>,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    shard: Shard,
    epoch: Epoch,
    mark: u64,
}

impl Gate {
    /// Asks for everything of the shard up to `mark`, all of it durable at QUORUM.
    pub fn ask(&mut self, shard: Shard, epoch: Epoch, mark: u64) {
        match self.waiting.last_mut() {
            Some(last) if (last.shard, last.epoch) == (shard, epoch) => last.mark = mark,
            _ => self.waiting.push(Ask { shard, epoch, mark }),
        }
    }

    /// Whether the node's own fence partition must be read now, at QUORUM; the read counts as
    /// started.
    pub fn start(&mut self) -> bool {
        if self.waiting.is_empty() || !self.covered.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.waiting, &mut self.covered);
        true
    }

    /// Takes the rows of the read that was started. One without an answer covers nothing.
    pub fn read(&mut self, rows: Result<&[(Shard, Epoch)], NoAnswer>, verdicts: &mut Vec<Verdict>) {
        let Ok(rows) = rows else {
            self.covered.append(&mut self.waiting);
            std::mem::swap(&mut self.waiting, &mut self.covered);
            return;
        };
        for (shard, epoch) in rows {
            let fence = self.fences.entry(*shard).or_default();
            *fence = (*fence).max(*epoch);
        }
        let fences = &self.fences;
        verdicts.extend(self.covered.drain(..).map(|ask| {
            let (shard, fence) = (ask.shard, fences.get(&ask.shard).copied());
            match fence {
                Some(epoch) if epoch > ask.epoch => Verdict::Lost { shard, epoch },
                _ => Verdict::Passed {
                    shard,
                    epoch: ask.epoch,
                    through: ask.mark,
                },
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Shard = Shard(1);
    const TWO: Shard = Shard(2);

    fn read(gate: &mut Gate, rows: &[(Shard, Epoch)]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        gate.read(Ok(rows), &mut verdicts);
        verdicts
    }

    fn passed(shard: Shard, through: u64) -> Verdict {
        let epoch = Epoch(1);
        Verdict::Passed {
            shard,
            epoch,
            through,
        }
    }

    #[test]
    fn an_idle_gate_reads_nothing() {
        assert!(!Gate::default().start());
    }

    #[test]
    fn a_read_covers_only_what_was_asked_before_it_started() {
        let mut gate = Gate::default();
        gate.ask(ONE, Epoch(1), 1);
        assert!(gate.start());
        gate.ask(ONE, Epoch(1), 2);
        gate.ask(TWO, Epoch(1), 7);
        assert!(!gate.start(), "one read is in flight at a time");
        assert_eq!(read(&mut gate, &[]), [passed(ONE, 1)]);
        assert!(gate.start());
        assert_eq!(read(&mut gate, &[]), [passed(ONE, 2), passed(TWO, 7)]);
        assert!(!gate.start());
    }

    #[test]
    fn a_higher_fence_tells_that_the_shard_is_lost_and_its_own_does_not() {
        let mut gate = Gate::default();
        gate.ask(ONE, Epoch(1), 1);
        gate.ask(TWO, Epoch(1), 1);
        assert!(gate.start());
        let verdicts = read(&mut gate, &[(ONE, Epoch(2)), (TWO, Epoch(1))]);
        let lost = Verdict::Lost {
            shard: ONE,
            epoch: Epoch(2),
        };
        assert_eq!(verdicts, [lost, passed(TWO, 1)]);
    }

    #[test]
    fn a_read_without_an_answer_covers_nothing_and_is_made_again() {
        let mut gate = Gate::default();
        gate.ask(ONE, Epoch(1), 1);
        assert!(gate.start());
        gate.ask(TWO, Epoch(1), 2);
        gate.read(Err(NoAnswer), &mut Vec::new());
        assert!(gate.start());
        assert_eq!(read(&mut gate, &[]), [passed(ONE, 1), passed(TWO, 2)]);
    }
}
