//! From no hold on a shard to its owner: claim, fence, recover, seal (R1, R2), or a hand-off.
//!
//! It owns the order of these steps. What the owner does afterwards is in `serving`.

use uuid::Uuid;

use super::change::{Change, Fate};
use super::claim::{ClaimRow, Claimant, Expected, Link};
use super::recovery::{Scan, Step, Stored};
use super::tenure::{Effect, End, Input, NoAnswer};
use crate::shard::Epoch;

/// What follows for the tenure.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Stay,
    Serve(ClaimRow),
    Ended(End),
}

#[derive(Clone, Debug)]
pub(super) struct Claiming<F> {
    claim: Uuid,
    frames_per_segment: u64,
    stage: Stage<F>,
}

#[derive(Clone, Debug)]
enum Stage<F> {
    /// Who owns it now?
    Reading,
    /// The claim itself.
    Winning(Change),
    /// The claim is won; so many fences are to be written before the first read of a journal.
    Fencing(ClaimRow, usize),
    /// The older epochs are read, one after the other.
    Recovering(Recovery<F>),
    /// A frame is missing or broken. A successor may have trimmed the journal under a slow claimant, so
    /// it is damage only if the claim still stands.
    Doubting(ClaimRow, End),
    /// The lengths are computed, once and for all, and are being sealed.
    Sealing(Change),
    /// A hand-off: claim and seal in one change.
    TakingOver(Change),
}

#[derive(Clone, Debug)]
struct Recovery<F> {
    row: ClaimRow,
    /// The epochs still to be read, the next one last.
    left: Vec<Link>,
    scan: Scan<F>,
    is_rewriting: bool,
    /// The lengths of the open epochs that were read.
    lengths: Vec<(Epoch, u64)>,
}

impl<F: Clone> Claiming<F> {
    pub(super) fn new(claim: Uuid, frames_per_segment: u64) -> Claiming<F> {
        Claiming {
            claim,
            frames_per_segment,
            stage: Stage::Reading,
        }
    }

    pub(super) fn take_over(
        expected: Expected,
        row: ClaimRow,
        claim: Uuid,
        effects: &mut Vec<Effect<F>>,
    ) -> Claiming<F> {
        Claiming {
            claim,
            frames_per_segment: 1,
            stage: Stage::TakingOver(Change::begin(expected, row, effects)),
        }
    }

    pub(super) fn handle(
        &mut self,
        me: &Claimant,
        input: Input<F>,
        effects: &mut Vec<Effect<F>>,
    ) -> Next {
        match (&mut self.stage, input) {
            (Stage::Reading, Input::Row(answer)) => self.win(me, answer, effects),
            (
                Stage::Winning(change) | Stage::Sealing(change) | Stage::TakingOver(change),
                input @ (Input::Swapped(_) | Input::Row(_)),
            ) => {
                let fate = change.handle(input, effects);
                self.changed(fate, effects)
            }
            (Stage::Fencing(row, left), Input::FenceWritten(node, answer)) => {
                if answer.is_err() {
                    let epoch = row.epoch;
                    effects.push(Effect::WriteFence { node, epoch });
                    return Next::Stay;
                }
                *left -= 1;
                self.recover_if_fenced(effects)
            }
            (Stage::Recovering(recovery), Input::SegmentRead(answer)) => {
                let step = recovery.segment_read(answer, effects);
                self.scanned(step, effects)
            }
            (Stage::Recovering(recovery), Input::SegmentPart(frames)) => {
                let mut replay = Vec::with_capacity(frames.len());
                let step = recovery.scan.part_read(frames, &mut replay);
                let step = recovery.replay(step, replay, effects);
                self.scanned(step, effects)
            }
            (Stage::Recovering(recovery), Input::FrameWritten(answer)) => {
                match answer {
                    Ok(()) => recovery.is_rewriting = false,
                    Err(NoAnswer) => {
                        recovery.rewrite(effects);
                        return Next::Stay;
                    }
                }
                self.next_epoch(effects)
            }
            (Stage::Doubting(..), Input::Row(Err(NoAnswer))) => {
                effects.push(Effect::ReadRow);
                Next::Stay
            }
            (Stage::Doubting(mine, damage), Input::Row(Ok(row))) => {
                let stands = row.is_some_and(|row| row.expected() == mine.expected());
                Next::Ended(if stands { *damage } else { End::Superseded })
            }
            _ => Next::Stay,
        }
    }

    fn win(
        &mut self,
        me: &Claimant,
        answer: Result<Option<ClaimRow>, NoAnswer>,
        effects: &mut Vec<Effect<F>>,
    ) -> Next {
        let (expected, row) = match answer {
            Err(NoAnswer) => {
                effects.push(Effect::ReadRow);
                return Next::Stay;
            }
            Ok(None) => (Expected::Absent, ClaimRow::first(me, self.claim)),
            Ok(Some(row)) => (row.expected(), row.claimed_by(me, self.claim)),
        };
        self.stage = Stage::Winning(Change::begin(expected, row, effects));
        Next::Stay
    }

    fn changed(&mut self, fate: Fate, effects: &mut Vec<Effect<F>>) -> Next {
        match (fate, &self.stage) {
            (Fate::Open, _) => Next::Stay,
            (Fate::Overtaken, _) => Next::Ended(End::Superseded),
            (Fate::Applied, Stage::Winning(change)) => {
                let row = change.row.clone();
                self.fence(row, effects)
            }
            (Fate::Applied, Stage::Sealing(change) | Stage::TakingOver(change)) => {
                Next::Serve(change.row.clone())
            }
            (Fate::Applied, _) => unreachable!("only a change has a fate"),
        }
    }

    /// The claim is known to have succeeded: fence before the first read.
    fn fence(&mut self, row: ClaimRow, effects: &mut Vec<Effect<F>>) -> Next {
        let (owners, epoch) = (row.open_owners(), row.epoch);
        self.stage = Stage::Fencing(row, owners.len());
        let fences = owners.into_iter();
        effects.extend(fences.map(|node| Effect::WriteFence { node, epoch }));
        self.recover_if_fenced(effects)
    }

    fn recover_if_fenced(&mut self, effects: &mut Vec<Effect<F>>) -> Next {
        let Stage::Fencing(row, 0) = &self.stage else {
            return Next::Stay;
        };
        let mut left: Vec<_> = row.older().copied().collect();
        left.reverse();
        let Some(first) = left.pop() else {
            return self.seal(row.clone(), &[], effects);
        };
        let recovery = Recovery {
            scan: scan(row, first, self.frames_per_segment),
            row: row.clone(),
            left,
            is_rewriting: false,
            lengths: Vec::new(),
        };
        let step = recovery.step(effects);
        self.stage = Stage::Recovering(recovery);
        self.scanned(step, effects)
    }

    fn scanned(&mut self, step: Step, effects: &mut Vec<Effect<F>>) -> Next {
        let Stage::Recovering(recovery) = &mut self.stage else {
            return Next::Stay;
        };
        let epoch = recovery.scan.epoch();
        match step {
            Step::Read { .. } => Next::Stay,
            Step::Damaged(seq) => {
                let damage = End::Damaged { epoch, seq };
                self.stage = Stage::Doubting(recovery.row.clone(), damage);
                effects.push(Effect::ReadRow);
                Next::Stay
            }
            Step::End(length) => {
                if recovery.is_open() {
                    recovery.lengths.push((epoch, length));
                    if recovery.rewrite(effects) {
                        return Next::Stay;
                    }
                }
                self.next_epoch(effects)
            }
        }
    }

    fn next_epoch(&mut self, effects: &mut Vec<Effect<F>>) -> Next {
        let Stage::Recovering(recovery) = &mut self.stage else {
            return Next::Stay;
        };
        if recovery.is_rewriting {
            return Next::Stay;
        }
        let Some(link) = recovery.left.pop() else {
            let (row, lengths) = (recovery.row.clone(), std::mem::take(&mut recovery.lengths));
            return self.seal(row, &lengths, effects);
        };
        recovery.scan = scan(&recovery.row, link, self.frames_per_segment);
        let step = recovery.step(effects);
        self.scanned(step, effects)
    }

    fn seal(
        &mut self,
        row: ClaimRow,
        lengths: &[(Epoch, u64)],
        effects: &mut Vec<Effect<F>>,
    ) -> Next {
        let change = Change::begin(row.expected(), row.serving(lengths), effects);
        self.stage = Stage::Sealing(change);
        Next::Stay
    }
}

impl<F: Clone> Recovery<F> {
    fn is_open(&self) -> bool {
        let epoch = self.scan.epoch();
        self.row
            .older()
            .any(|link| link.epoch == epoch && link.sealed.is_none())
    }

    fn step(&self, effects: &mut Vec<Effect<F>>) -> Step {
        let (epoch, step) = (self.scan.epoch(), self.scan.step());
        if let Step::Read { segment, from } = step {
            effects.push(Effect::ReadSegment {
                epoch,
                segment,
                from,
            });
        }
        step
    }

    fn segment_read(
        &mut self,
        answer: Result<Vec<(u64, Stored<F>)>, NoAnswer>,
        effects: &mut Vec<Effect<F>>,
    ) -> Step {
        let Ok(frames) = answer else {
            return self.step(effects);
        };
        let mut replay = Vec::with_capacity(frames.len());
        let step = self.scan.segment_read(frames, &mut replay);
        self.replay(step, replay, effects)
    }

    /// Has what was read replayed, and what follows read.
    fn replay(&self, step: Step, replay: Vec<F>, effects: &mut Vec<Effect<F>>) -> Step {
        if !replay.is_empty() {
            effects.push(Effect::Replay(replay));
        }
        if let Step::Read { .. } = step {
            return self.step(effects);
        }
        step
    }

    /// Writes the last frame again, for it may be on a minority of the replicas; all others were
    /// durable before it was sent (R5).
    fn rewrite(&mut self, effects: &mut Vec<Effect<F>>) -> bool {
        let epoch = self.scan.epoch();
        let last = self.scan.last();
        self.is_rewriting = last.is_some();
        if let Some((seq, frame)) = last {
            let frame = frame.clone();
            effects.push(Effect::WriteFrame { epoch, seq, frame });
        }
        self.is_rewriting
    }
}

fn scan<F: Clone>(row: &ClaimRow, link: Link, frames_per_segment: u64) -> Scan<F> {
    let from = row.starts_at(link.epoch);
    Scan::new(link.epoch, from, link.sealed, frames_per_segment)
}
