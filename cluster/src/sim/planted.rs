//! The planted bugs at a node: effects that are not done as the protocol wants, outcomes that are
//! made up.
//!
//! It owns all corruption between protocol and world, so that both are read without it.

use std::rc::Rc;

use super::bug::PlantedBug as Bug;
use super::model::{Frame, FrameData};
use super::node::{About, Asked, Node};
use super::store::{FRAMES_PER_SEGMENT, Request};
use crate::member::Generation;
use crate::ownership::claim::{Base, ClaimRow, Link, Swap};
use crate::ownership::recovery::Stored;
use crate::ownership::tenure::{Effect, Input};
use crate::shard::{Epoch, Shard};

impl Node {
    /// Takes an effect away, or lets it be done.
    pub(super) fn plant(&mut self, shard: Shard, effect: Effect<Frame>) -> Option<Effect<Frame>> {
        let Some(bug) = self.bug else {
            return Some(effect);
        };
        let serves = self.hosts.get(&shard)?.serves.is_some();
        match effect {
            Effect::WriteFence { node, epoch } => self.plant_fence(bug, shard, node, epoch),
            Effect::ReadRow if !serves && bug == Bug::ReadBeforeClaim => {
                let frames = self.store.borrow().frames(shard);
                let spoiled = &mut self.hosts.get_mut(&shard)?.spoiled;
                spoiled.snapshot.get_or_insert(frames);
                Some(effect)
            }
            Effect::ReadSegment {
                epoch,
                segment,
                from,
            } => self.plant_read(bug, shard, (epoch, segment, from)),
            Effect::Swap { ref row, .. } => {
                let row = row.clone();
                self.plant_swap(bug, shard, serves, &row, effect)
            }
            Effect::WriteFrame { epoch, seq, frame } => {
                self.plant_frame(bug, shard, serves, (epoch, seq, frame))
            }
            Effect::AskGate { epoch, mark } => self.plant_ask(bug, shard, epoch, mark),
            effect => Some(effect),
        }
    }

    pub(super) fn input(&mut self, shard: Shard, input: Input<Frame>) -> Option<Effect<Frame>> {
        self.inputs.push_back((shard, input));
        None
    }

    fn plant_fence(
        &mut self,
        bug: Bug,
        shard: Shard,
        node: Generation,
        epoch: Epoch,
    ) -> Option<Effect<Frame>> {
        let row = self.store.borrow().claims.get(&shard).cloned()?;
        let is_last = |link: &Link| link.owner == node && is_just_before(link.epoch, &row);
        let is_last = row.older().any(is_last);
        let request = self.fence(node, shard, epoch);
        match bug {
            Bug::NoFence => self.input(shard, Input::FenceWritten(node, Ok(()))),
            Bug::FenceLastOwnerOnly if !is_last => {
                self.input(shard, Input::FenceWritten(node, Ok(())))
            }
            Bug::FenceAfterRead => {
                self.hosts.get_mut(&shard)?.spoiled.held.push(request);
                self.input(shard, Input::FenceWritten(node, Ok(())))
            }
            _ => Some(Effect::WriteFence { node, epoch }),
        }
    }

    fn plant_read(
        &mut self,
        bug: Bug,
        shard: Shard,
        (epoch, segment, from): (Epoch, u64, u64),
    ) -> Option<Effect<Frame>> {
        if bug == Bug::RecoverLastEpochOnly {
            let row = self.store.borrow().claims.get(&shard).cloned()?;
            let is_open = |link: &Link| link.epoch == epoch && link.sealed.is_none();
            if !is_just_before(epoch, &row) && row.older().any(is_open) {
                return self.input(shard, Input::SegmentRead(Ok(Vec::new())));
            }
        }
        let host = self.hosts.get_mut(&shard)?;
        if let Some(snapshot) = &host.spoiled.snapshot {
            let start = (segment * FRAMES_PER_SEGMENT).max(from);
            let end = ((segment + 1) * FRAMES_PER_SEGMENT).max(start);
            let held = snapshot.range((shard, epoch, start)..(shard, epoch, end));
            let whole = held.map(|((.., seq), f)| (*seq, Stored::Whole(f.clone())));
            let frames = whole.collect();
            return self.input(shard, Input::SegmentRead(Ok(frames)));
        }
        if bug == Bug::ReadBeforeBase && !std::mem::replace(&mut host.spoiled.old_replayed, true) {
            let store = self.store.borrow();
            let base = store.claims.get(&shard)?.base;
            for ((_, epoch, seq), frame) in store.frames(shard) {
                if (Base { epoch, seq }) < base {
                    host.memory.replay(&frame);
                }
            }
            host.memory.hlc_ms = 0;
        }
        Some(Effect::ReadSegment {
            epoch,
            segment,
            from,
        })
    }

    fn plant_swap(
        &mut self,
        bug: Bug,
        shard: Shard,
        serves: bool,
        row: &ClaimRow,
        effect: Effect<Frame>,
    ) -> Option<Effect<Frame>> {
        let current = self.store.borrow().claims.get(&shard).cloned();
        let is_seal = !serves && current.as_ref().is_some_and(|c| c.claim == row.claim);
        let is_take_over = self.hosts.get(&shard)?.source.is_some() && !serves;
        let is_new_epoch = current.as_ref().is_some_and(|c| c.epoch < row.epoch);
        match bug {
            Bug::FenceAfterRead if is_seal => {
                let held = std::mem::take(&mut self.hosts.get_mut(&shard)?.spoiled.held);
                held.into_iter().for_each(|r| self.ask(Asked::Nothing, r));
            }
            Bug::WriteBeforeSeal if is_seal => {
                if let Effect::Swap { expected, row } = effect {
                    self.ask(Asked::Nothing, Request::Swap(shard, expected, row));
                }
                return self.input(shard, Input::Swapped(Ok(Swap::Applied)));
            }
            Bug::RecomputeLength => self.hosts.get_mut(&shard)?.spoiled.is_sealing = is_seal,
            Bug::IgnoreSeal if is_seal => self.replay_past_seals(shard, &current?),
            Bug::HandOffWithoutClaim if is_take_over => {
                return self.input(shard, Input::Swapped(Ok(Swap::Applied)));
            }
            Bug::TakeBackWithoutClaim if serves && is_new_epoch => {
                return self.input(shard, Input::Swapped(Ok(Swap::Applied)));
            }
            Bug::DeleteBeforeBase if serves && !is_new_epoch => {
                let (from, epoch) = (current?.base.seq, row.epoch);
                let segments = from / FRAMES_PER_SEGMENT..row.base.seq / FRAMES_PER_SEGMENT;
                for segment in segments.filter(|_| row.base.epoch == epoch) {
                    let request = Request::DeleteSegment {
                        shard,
                        epoch,
                        segment,
                    };
                    self.ask(Asked::Nothing, request);
                }
            }
            _ => {}
        }
        Some(effect)
    }

    fn replay_past_seals(&mut self, shard: Shard, row: &ClaimRow) {
        let frames = self.store.borrow().frames(shard);
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        for link in row.older() {
            let Some(sealed) = link.sealed else { continue };
            let end = (shard, Epoch(link.epoch.0 + 1), 0);
            for (_, frame) in frames.range((shard, link.epoch, sealed)..end) {
                host.memory.replay(frame);
            }
        }
    }

    fn plant_frame(
        &mut self,
        bug: Bug,
        shard: Shard,
        serves: bool,
        (epoch, seq, frame): (Epoch, u64, Frame),
    ) -> Option<Effect<Frame>> {
        let request = Request::WriteFrame((shard, epoch, seq), frame.clone());
        let host = self.hosts.get_mut(&shard)?;
        match bug {
            Bug::NoRewrite if !serves => {
                return self.input(shard, Input::FrameWritten(Ok(())));
            }
            Bug::UnConsume if std::mem::take(&mut host.spoiled.is_undone) => {
                let (hlc_ms, events) = (frame.hlc_ms, Vec::new());
                let frame = Rc::new(FrameData { hlc_ms, events });
                return Some(Effect::WriteFrame { epoch, seq, frame });
            }
            Bug::RewriteOtherBytes if std::mem::take(&mut host.spoiled.is_undone) => {
                let mut events = frame.events.clone();
                events.append(&mut host.stage);
                host.mark += 1;
                let mark = host.mark;
                self.feed(shard, Input::Answer { mark });
                let hlc_ms = frame.hlc_ms;
                let frame = Rc::new(FrameData { hlc_ms, events });
                return Some(Effect::WriteFrame { epoch, seq, frame });
            }
            Bug::FenceReadBeforeCommit if serves => {
                let (me, mark) = (self.me.node, host.spoiled.in_flight_mark);
                self.host_asks(shard, About::EarlyFence(mark), Request::ReadFences(me));
            }
            Bug::TwoInFlight if serves => {
                host.spoiled.outstanding += 1;
                let first = host.spoiled.outstanding == 1;
                self.host_asks(shard, About::EarlyFrame(request.clone()), request);
                if first {
                    return self.input(shard, Input::FrameWritten(Ok(())));
                }
                return None;
            }
            _ => {}
        }
        Some(Effect::WriteFrame { epoch, seq, frame })
    }

    fn plant_ask(
        &mut self,
        bug: Bug,
        shard: Shard,
        epoch: Epoch,
        mark: u64,
    ) -> Option<Effect<Frame>> {
        let host = self.hosts.get_mut(&shard)?;
        let through = mark;
        match bug {
            Bug::NoGate => self.input(shard, Input::Passed { epoch, through }),
            Bug::FenceReadBeforeCommit if mark <= host.spoiled.early => {
                self.input(shard, Input::Passed { epoch, through })
            }
            Bug::TwoInFlight if host.spoiled.outstanding > 0 => {
                host.spoiled.held_ask = mark;
                None
            }
            _ => Some(Effect::AskGate { epoch, mark }),
        }
    }
}

/// Whether an epoch is that of the last claim before this one: between it and an older one that is open
/// there were claims that came to nothing.
fn is_just_before(epoch: Epoch, row: &ClaimRow) -> bool {
    epoch.0 + 1 == row.epoch.0
}
