//! Calls at a node: received, decided or forwarded, answered; and the hand-off between peers.
//!
//! It owns what messages mean. When a call is tried again is in `duty`.

use super::bug::PlantedBug;
use super::host::{Handing, Say};
use super::model::{Ask, Call, Memory, OpId, Reply};
use super::node::{Asked, Message, Node, Out, Pending, shard_of};
use super::store::{FRAMES_PER_SEGMENT, Request};
use crate::member::Generation;
use crate::ownership::tenure::{Input, Offer, Tenure};
use crate::shard::Shard;

impl Node {
    pub(super) fn refuse(&mut self, call: &Call, to: Generation) {
        let not_owner = Message::NotOwner(call.op, call.tries);
        if to != self.me.node {
            self.out.push(Out::Peer(to, not_owner));
        } else {
            self.told(not_owner);
        }
    }

    /// Lets the owner decide, if that is this node.
    pub(super) fn decide(&mut self, call: Call, from: Generation) {
        let (shard, now) = (shard_of(&call.ask), self.now());
        let Some(host) = self.hosts.get_mut(&shard).filter(|h| h.serves.is_some()) else {
            return self.refuse(&call, from);
        };
        if host.handing.is_some() {
            host.waiting.push((call, from));
            return;
        }
        if self.bug == Some(PlantedBug::ArchiveBeforeOwner)
            && let Ask::Find { id } = call.ask
        {
            let request = Request::ReadArchive(id);
            return self.ask(Asked::FindFirst(call, from), request);
        }
        let reply = host.decide(&call, now);
        let to = from;
        self.say(shard, Say::Reply { call, to, reply });
    }

    pub(super) fn say(&mut self, shard: Shard, say: Say) {
        if self.says_ungated(shard, &say) {
            return;
        }
        if let Some(host) = self.hosts.get_mut(&shard) {
            if let Some(input) = host.say(say) {
                self.feed(shard, input);
            }
            self.submit(shard);
        }
    }

    /// A client's request.
    pub(super) fn request(&mut self, call: Call, client_op: OpId) {
        let op = call.op;
        let pending = Pending {
            call,
            client_op,
            tried_us: 0,
            is_in_doubt: false,
            deadline_us: self.now_us + 2_000_000,
        };
        self.pending.insert(op, pending);
        self.try_call(op);
        self.pump();
    }

    /// A message of a peer.
    pub(super) fn told(&mut self, message: Message) {
        match message {
            Message::Forward(call, from) => self.decide(call, from),
            Message::Answered(op, reply, is_repeat) => {
                let is_repeated = self.pending.get(&op).is_some_and(|p| p.call.is_repeat);
                if is_repeated && !is_repeat && reply == Reply::Took(Vec::new()) {
                    // No event holds it, so the repeat may be answered otherwise.
                } else if let Some(pending) = self.pending.remove(&op) {
                    self.out.push(Out::Client(pending.client_op, reply));
                }
            }
            Message::NotOwner(op, tries) => {
                let pending = self.pending.get_mut(&op);
                if let Some(pending) = pending.filter(|p| p.call.tries == tries) {
                    pending.refused();
                    let shard = shard_of(&pending.call.ask);
                    self.learn_route(shard);
                }
            }
            Message::Offered(shard, offer, memory, source) => {
                self.take_over(shard, &offer, &memory, source);
            }
            Message::TakenOver(shard, epoch) => {
                self.inputs.push_back((shard, Input::Seen(epoch)));
            }
        }
    }

    fn take_over(&mut self, shard: Shard, offer: &Offer, memory: &Memory, source: Generation) {
        if self.hosts.contains_key(&shard) || !self.is_fit {
            return;
        }
        let (claim, mut effects) = (self.uuid(), Vec::new());
        let me = self.me.clone();
        let tenure = Tenure::take_over(me, claim, offer, FRAMES_PER_SEGMENT, &mut effects);
        self.host(shard, tenure, memory.clone(), Vec::new());
        if let Some(host) = self.hosts.get_mut(&shard) {
            host.source = Some(source);
        }
        self.effects(shard, effects);
    }

    /// Begins to hand a shard over.
    pub(super) fn hand_over(&mut self, shard: Shard, to: Generation) {
        let since_us = self.now_us;
        if let Some(host) = self.hosts.get_mut(&shard) {
            host.handing = Some(Handing {
                to,
                since_us,
                is_offered: false,
            });
            self.inputs.push_back((shard, Input::Freeze));
        }
    }

    /// Looks a message up in the archive.
    pub(super) fn find(&mut self, call: Call, to: Generation, is_final: bool) {
        let Ask::Find { id } = call.ask else { return };
        let request = Request::ReadArchive(id);
        self.ask(Asked::Find(call, to, is_final), request);
    }

    pub(super) fn reply(&mut self, call: &Call, to: Generation, reply: Reply) {
        let answered = Message::Answered(call.op, reply, call.is_repeat);
        if to == self.me.node {
            self.told(answered);
        } else {
            self.out.push(Out::Peer(to, answered));
        }
    }
}
