//! The planted bugs at a node, second part: outcomes that are made up, and steps that are left out.

use std::rc::Rc;

use super::bug::PlantedBug as Bug;
use super::host::{KEY_BIT, Said, Say};
use super::model::{Call, Frame, Memory, OpId, Reply, Row, Status};
use super::node::{About, Fact, Message, Node, Out, shard_of};
use super::store::{Answer, FRAMES_PER_SEGMENT};
use crate::member::Generation;
use crate::ownership::claim::Swap;
use crate::ownership::recovery::Stored;
use crate::ownership::tenure::{Input, NoAnswer, Offer};
use crate::shard::{Epoch, Shard};

impl Node {
    pub(super) fn spoiled_answer(&mut self, shard: Shard, about: About, answer: &Answer) {
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        let epoch = host.serves.unwrap_or_default();
        match (about, answer) {
            (About::EarlyFence(mark), Answer::Fences(rows))
                if !rows
                    .iter()
                    .any(|(of, fence)| *of == shard && *fence > epoch) =>
            {
                host.spoiled.early = mark;
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
            (Some(Bug::RecomputeLength), Input::Swapped(Err(NoAnswer)))
                if std::mem::take(&mut self.hosts.get_mut(&shard)?.spoiled.is_sealing) =>
            {
                self.recompute_length(shard);
                Some(Input::Swapped(Err(NoAnswer)))
            }
            (Some(Bug::SealOverGap), Input::SegmentRead(Ok(frames))) => {
                self.cut_at_gap(shard, about, frames)
            }
            (Some(Bug::AlarmAtFirstGap), Input::SegmentRead(Ok(frames))) => {
                let About::Segment { from, .. } = *about else {
                    return None;
                };
                let mut expected = from..;
                let has_gap = frames.iter().any(|(seq, _)| expected.next() != Some(*seq));
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
        let (shard, now) = (shard_of(&call.ask), self.now());
        if let Some(host) = self.hosts.get_mut(&shard).filter(|h| h.serves.is_some()) {
            let reply = host.decide(&call, now);
            self.say(shard, Say::Reply { call, to, reply });
        }
    }
}
