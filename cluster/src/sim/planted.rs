//! The planted bugs at a node: effects that are not done as the protocol wants, outcomes that are
//! made up.
//!
//! It owns all corruption between protocol and world, so that both are read without it.

use std::rc::Rc;

use super::bug::PlantedBug as Bug;
use super::host::{KEY_BIT, Said, Say};
use super::model::{Call, Frame, FrameData, Memory, OpId, Reply, Row, Status};
use super::node::{About, Asked, Fact, Message, Node, Out};
use super::store::{Answer, FRAMES_PER_SEGMENT, Request};
use crate::member::Generation;
use crate::ownership::claim::{Base, ClaimRow, Swap};
use crate::ownership::recovery::Stored;
use crate::ownership::tenure::{Effect, Input, NoAnswer, Offer};
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

    fn input(&mut self, shard: Shard, input: Input<Frame>) -> Option<Effect<Frame>> {
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
        let is_last = row.older().last().is_some_and(|link| link.owner == node);
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

    pub(super) fn spoiled_answer(&mut self, shard: Shard, about: About, answer: &Answer) {
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        let epoch = host.serves.unwrap_or_default();
        match (about, answer) {
            (About::EarlyFence(mark), Answer::Fences(rows)) => {
                if !rows
                    .iter()
                    .any(|(of, fence)| *of == shard && *fence > epoch)
                {
                    host.spoiled.early = mark;
                }
            }
            (About::EarlyFrame(request), Answer::Nothing) => {
                self.host_asks(shard, About::EarlyFrame(request.clone()), request);
            }
            (About::EarlyFrame(_), _) => {
                host.spoiled.outstanding -= 1;
                let held = std::mem::take(&mut host.spoiled.held_ask);
                if host.spoiled.outstanding > 0 {
                    host.spoiled.held_ask = held;
                    self.input(shard, Input::FrameWritten(Ok(())));
                } else if held > 0 {
                    self.gate.ask(shard, epoch, held);
                }
            }
            _ => {}
        }
    }

    /// Makes an outcome up, or lets it pass.
    pub(super) fn tamper(
        &mut self,
        shard: Shard,
        about: &About,
        input: Input<Frame>,
    ) -> Option<Input<Frame>> {
        let serves = self.hosts.get(&shard)?.serves.is_some();
        match (self.bug, input) {
            (Some(Bug::AssumeApplied), Input::Swapped(Err(NoAnswer))) => {
                Some(Input::Swapped(Ok(Swap::Applied)))
            }
            (Some(Bug::RecomputeLength), Input::Swapped(Err(NoAnswer))) if !serves => {
                self.recompute_length(shard);
                Some(Input::Swapped(Err(NoAnswer)))
            }
            (Some(Bug::SealOverGap), Input::SegmentRead(Ok(frames))) => {
                self.cut_at_gap(shard, about, frames)
            }
            (Some(Bug::AlarmAtFirstGap), Input::SegmentRead(Ok(frames))) => {
                let has_gap = frames.windows(2).any(|pair| pair[0].0 + 1 != pair[1].0);
                if has_gap {
                    self.out.push(Out::Fact(Fact::Damaged(shard)));
                }
                Some(Input::SegmentRead(Ok(frames)))
            }
            (Some(bug), Input::FrameWritten(Err(NoAnswer))) if serves => {
                self.spoil_repeat(bug, shard);
                Some(Input::FrameWritten(Err(NoAnswer)))
            }
            (_, input) => Some(input),
        }
    }

    /// After a seal without an answer: reads the journal once more, and takes what it finds.
    fn recompute_length(&mut self, shard: Shard) {
        let store = self.store.borrow();
        let (frames, row) = (store.frames(shard), store.claims.get(&shard).cloned());
        let (Some(host), Some(row)) = (self.hosts.get_mut(&shard), row) else {
            return;
        };
        let mut memory = Memory::default();
        for link in row.older() {
            let start = (shard, link.epoch, row.starts_at(link.epoch));
            let end = (shard, Epoch(link.epoch.0 + 1), 0);
            for (_, frame) in frames.range(start..end) {
                memory.replay(frame);
            }
        }
        host.memory = memory;
    }

    fn cut_at_gap(
        &mut self,
        shard: Shard,
        about: &About,
        frames: Vec<(u64, Stored<Frame>)>,
    ) -> Option<Input<Frame>> {
        let About::Segment { epoch, from } = *about else {
            return None;
        };
        let spoiled = &mut self.hosts.get_mut(&shard)?.spoiled;
        let mut next = from;
        let mut kept = Vec::new();
        for (seq, frame) in frames {
            if seq != next || spoiled.cut == Some(epoch) {
                break;
            }
            next += 1;
            kept.push((seq, frame));
        }
        if next % FRAMES_PER_SEGMENT != 0 || next == from {
            spoiled.cut = Some(epoch);
        }
        Some(Input::SegmentRead(Ok(kept)))
    }

    /// A frame is about to be repeated.
    fn spoil_repeat(&mut self, bug: Bug, shard: Shard) {
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        if bug == Bug::RewriteOtherBytes {
            host.spoiled.is_undone = true;
        }
        if bug != Bug::UnConsume {
            return;
        }
        let Some(memory) = host.spoiled.undo.take() else {
            return;
        };
        host.memory = memory;
        host.spoiled.is_undone = true;
        let mark = host.spoiled.in_flight_mark;
        for said in host.released(mark) {
            if let Say::Reply { call, to, .. } = said.say {
                self.reply(&call, to, Reply::Refused);
            }
        }
    }

    /// Lets something leave that should wait for the gate.
    pub(super) fn says_ungated(&mut self, shard: Shard, say: &Say) -> bool {
        let is_lookup = |reply: &Reply| matches!(reply, Reply::Found(_) | Reply::Missing);
        let Some(host) = self.hosts.get(&shard) else {
            return false;
        };
        let (serial, epoch) = (host.serial, host.serves.unwrap_or_default());
        let ungated = match (self.bug, say) {
            (Some(Bug::NoGateForLookups), Say::Reply { reply, .. }) => is_lookup(reply),
            (Some(Bug::NoGateForEmpty), Say::Reply { reply, .. }) => {
                *reply == Reply::Took(Vec::new())
            }
            (Some(Bug::FlushBeforeGate), Say::Flush(_)) => true,
            _ => false,
        };
        if self.bug == Some(Bug::LookupBeforeDurable)
            && !host.tenure.may_submit()
            && matches!(say, Say::Reply { reply, .. } if is_lookup(reply))
            && let Some(host) = self.hosts.get_mut(&shard)
        {
            host.say(say.clone());
            let mark = host.mark;
            self.gate.ask(shard, epoch, mark);
            return true;
        }
        if ungated {
            let (mark, frames, say) = (0, 0, say.clone());
            self.leave(shard, serial, epoch, Said { mark, frames, say });
        }
        ungated
    }

    /// Takes a shard through a restart inside its process: a new claim (R5), or with a bug not.
    pub(super) fn restart(&mut self, shard: Shard) {
        let frames = self.store.borrow().frames(shard);
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        if self.bug != Some(Bug::ReuseEpoch) || host.serves.is_none() {
            self.hosts.remove(&shard);
            return self.claim(shard);
        }
        let Some(row) = host.tenure.row() else { return };
        host.memory = Memory::default();
        for link in &row.chain {
            let start = (shard, link.epoch, row.starts_at(link.epoch));
            let end = (shard, link.epoch, link.sealed.unwrap_or(u64::MAX));
            for (_, frame) in frames.range(start..end) {
                host.memory.replay(frame);
            }
        }
        host.stage.clear();
        host.said.clear();
        host.trims = false;
        host.is_flushing = false;
    }

    /// Begins a hand-off.
    pub(super) fn move_to(&mut self, shard: Shard, to: Generation) {
        let early = match self.bug {
            Some(Bug::HandOffWithoutFreeze) => 0,
            Some(Bug::HandOffBeforeDurable) => u64::from(
                self.hosts
                    .get(&shard)
                    .is_some_and(|h| !h.tenure.may_submit()),
            ),
            _ => return self.hand_over(shard, to),
        };
        if self.bug == Some(Bug::HandOffBeforeDurable) {
            self.hand_over(shard, to);
        }
        let Some(host) = self.hosts.get(&shard) else {
            return;
        };
        if let (Some(row), Some(next)) = (host.tenure.row(), host.tenure.next_frame()) {
            let offer = Offer {
                row: row.clone(),
                frames: next.seq + early,
            };
            let memory = Rc::new(host.memory.clone());
            let message = Message::Offered(shard, offer, memory, self.me.node);
            self.out.push(Out::Peer(to, message));
        }
    }

    /// The op id of the next try of a call: the same.
    pub(super) fn renew_op(&mut self, op: OpId) -> OpId {
        if self.bug != Some(Bug::RetryWithNewOpId) {
            return op;
        }
        let Some(mut pending) = self.pending.remove(&op) else {
            return op;
        };
        let new = (self.me.node.0.as_u128() as u64) << 32 | self.number();
        pending.call.op = new & !KEY_BIT;
        self.pending.insert(pending.call.op, pending);
        new & !KEY_BIT
    }

    /// A look-up that asked the archive first asks the owner now.
    pub(super) fn find_second(&mut self, call: Call, to: Generation, answer: &Answer) {
        if let Answer::Archived(Some(Row { how, .. })) = answer {
            return self.reply(&call, to, Reply::Found(Status::Ended(*how)));
        }
        let (shard, now) = (super::node::shard_of(&call.ask), self.now());
        if let Some(host) = self.hosts.get_mut(&shard).filter(|h| h.serves.is_some()) {
            let reply = host.decide(&call, now);
            self.say(shard, Say::Reply { call, to, reply });
        }
    }
}
