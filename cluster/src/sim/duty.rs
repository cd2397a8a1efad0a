//! What a node does by itself every now and then: claim, hand over, take back, flush, trim, repeat
//! calls.
//!
//! It owns these decisions of the simulated shell; none of them has to be right for the promise to
//! hold, only for the cluster to go on.

use std::collections::BTreeMap;

use super::bug::PlantedBug;
use super::chance::mix;
use super::host::Say;
use super::model::{Ask, OpId};
use super::node::{Message, Node, Out, SHARDS, shard_of};
use crate::member::Generation;
use crate::ownership::tenure::Input;
use crate::ownership::time::CheckedWall;
use crate::shard::{Epoch, Shard};

const CLAIM_PATIENCE_US: u64 = 1_500_000;
const HAND_OVER_PATIENCE_US: u64 = 250_000;
const CALL_PATIENCE_US: u64 = 250_000;

/// How often a node looks after its shards.
pub(super) const TICK_US: u64 = 100_000;

/// In one of so many ticks a node hears of the others' claims.
const HEARING_TICKS: u64 = 16;

/// Frames since the last trim that make the next one due.
const TRIM_FRAMES: u64 = 7;

/// Who is alive, and whether it may own shards.
pub(super) type View = BTreeMap<Generation, bool>;

impl Node {
    pub(super) fn tick(&mut self, view: Option<View>, is_fit: bool) {
        self.is_fit = is_fit || self.has(PlantedBug::UnfitServes);
        if let Some(view) = view {
            self.view = view;
        }
        if self.is_fit {
            let monotonic_ms = self.now_us / 1000;
            self.wall = CheckedWall::checked(self.raw_wall_ms(), monotonic_ms);
        }
        let hears = (self.now_us / TICK_US).is_multiple_of(HEARING_TICKS);
        for shard in (0..SHARDS).map(Shard) {
            self.learn_route(shard);
            if let Some(epoch) = self.heard(shard).filter(|_| hears) {
                self.inputs.push_back((shard, Input::Seen(epoch)));
                self.pump();
            }
            if self.hosts.contains_key(&shard) {
                self.look_after(shard);
            } else if self.wants(shard) {
                self.claim(shard);
            }
            self.pump();
        }
        let ops: Vec<_> = self.pending.keys().copied().collect();
        for op in ops {
            self.look_after_call(op);
        }
        self.pump();
    }

    /// Whether a shard without an owner is this node's to claim.
    fn wants(&self, shard: Shard) -> bool {
        if !self.is_fit || self.damaged.contains(&shard) {
            return false;
        }
        let owner = self.owner(shard);
        if owner == Some(self.me.node) {
            return !self.has(PlantedBug::LeaveUnservedClaim);
        }
        let is_alive = owner.is_some_and(|owner| self.view.contains_key(&owner));
        !is_alive && self.placed(shard) == Some(self.me.node)
    }

    /// The epoch of the claim row: an owner without requests reads no fence, and would never know.
    fn heard(&self, shard: Shard) -> Option<Epoch> {
        let store = self.store.borrow();
        store.claims.get(&shard).map(|row| row.epoch)
    }

    /// The owner by the claim row, as far as one knows.
    fn owner(&self, shard: Shard) -> Option<Generation> {
        let store = self.store.borrow();
        store.claims.get(&shard).map(|row| row.owner)
    }

    /// Notes who owns the shard; until the next time calls go there.
    pub(super) fn learn_route(&mut self, shard: Shard) {
        if let Some(owner) = self.owner(shard) {
            self.routes.insert(shard, owner);
        }
    }

    /// The member that should own the shard.
    fn placed(&self, shard: Shard) -> Option<Generation> {
        let fit = self.view.iter().filter(|(_, is_fit)| **is_fit);
        let weight = |member: &Generation| {
            let folded = member.0.as_u128() as u64 ^ (member.0.as_u128() >> 64) as u64;
            mix(mix(folded) ^ u64::from(shard.0))
        };
        fit.map(|(member, _)| *member).max_by_key(weight)
    }

    fn look_after(&mut self, shard: Shard) {
        let (now_us, now, placed) = (self.now_us, self.now(), self.placed(shard));
        let (me, claim, is_fit) = (self.me.node, self.uuid(), self.is_fit);
        let Some(host) = self.hosts.get_mut(&shard) else {
            return;
        };
        if host.serves.is_none() {
            if now_us - host.began_us > CLAIM_PATIENCE_US {
                self.inputs.push_back((shard, Input::GiveUp));
            }
            return;
        }
        if let Some(handing) = &mut host.handing {
            let is_late = now_us > handing.since_us + HAND_OVER_PATIENCE_US;
            if handing.is_offered && is_late && host.bug != Some(PlantedBug::NeverTakeBack) {
                handing.since_us = now_us + 10_000_000;
                self.inputs.push_back((shard, Input::TakeBack { claim }));
            }
            return;
        }
        host.advance(now);
        let mut rows: Vec<_> = host.memory.ended.iter().map(|(id, r)| (*id, *r)).collect();
        if host.has(PlantedBug::ArchiveByWallClock) {
            rows.iter_mut().for_each(|(_, row)| row.at_ms = now.wall_ms);
        }
        let next = host.tenure.next_frame().unwrap_or_default();
        if !host.trims && host.tenure.may_trim() && next.seq > host.last_trim_seq + TRIM_FRAMES {
            host.stage_survivors(now);
        }
        if !rows.is_empty() && !host.is_flushing {
            host.is_flushing = true;
            self.say(shard, Say::Flush(rows));
        }
        self.submit(shard);
        self.pump();
        let Some(host) = self.hosts.get(&shard) else {
            return;
        };
        let moves = placed.filter(|target| *target != me || !is_fit);
        let is_ready = host.stage.is_empty() && host.tenure.may_trim();
        if let Some(to) = moves.filter(|_| is_ready) {
            self.move_to(shard, to);
        }
    }

    fn look_after_call(&mut self, op: OpId) {
        let Some(pending) = self.pending.get(&op) else {
            return;
        };
        if pending.deadline_us <= self.now_us {
            self.pending.remove(&op);
        } else if pending.tried_us + CALL_PATIENCE_US <= self.now_us {
            let op = self.renew_op(op);
            self.try_call(op);
        }
    }

    /// Sends a call to the owner, with the op id that it has (R9).
    pub(super) fn try_call(&mut self, op: OpId) {
        let (me, now_us) = (self.me.node, self.now_us);
        let Some(pending) = self.pending.get_mut(&op) else {
            return;
        };
        pending.tried_us = now_us;
        pending.call.tries += 1;
        pending.call.is_repeat |= pending.is_in_doubt;
        pending.is_in_doubt = true;
        let (call, tries) = (pending.call.clone(), pending.call.tries);
        // Without an owner a hit may be answered, a miss waits.
        if tries > 1 && matches!(call.ask, Ask::Find { .. }) {
            let is_final = self.has(PlantedBug::MissWithoutOwner);
            self.find(call.clone(), me, is_final);
        }
        let shard = shard_of(&call.ask);
        let is_served_here = self.hosts.get(&shard).is_some_and(|h| h.serves.is_some());
        match self.routes.get(&shard) {
            _ if is_served_here => self.decide(call, me),
            Some(owner) if *owner == me => {}
            Some(owner) => {
                let forward = Message::Forward(call, me);
                self.out.push(Out::Peer(*owner, forward));
            }
            None => {}
        }
    }
}
