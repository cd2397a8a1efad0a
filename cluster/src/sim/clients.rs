//! The clients of the simulated cluster: they post, read and look up, and repeat what has a key.
//!
//! It owns what is asked and when. What the answers must be is in `history`.

use super::host::KEY_BIT;
use super::model::{Ask, Call, How, OpId, Reply, Status};
use super::node::SHARDS;
use super::trace;
use super::world::{Event, World};
use crate::shard::Shard;

const USERS: u64 = 6;

/// How long messages live at least, and at most twice as long; some outlive a year's sleep.
const TTLS_MS: [u64; 5] = [300, 1_500, 5_000, 60_000, 63_072_000_000];

pub(super) struct Attempt {
    call: Call,
    begun_us: u64,
    tries: u32,
    is_answered: bool,
}

impl World {
    pub(super) fn new_request(&mut self) {
        if self.now_us >= self.quiet_us {
            return;
        }
        let next_us = self.chance.between(5_000, 50_000);
        self.after(next_us, Event::Request);
        let user = self.chance.below(USERS) as u16;
        self.ask_for(user);
    }

    pub(super) fn want(&mut self, shard: Shard) {
        let turn = self.chance.below(USERS / u64::from(SHARDS)) as u16;
        self.ask_for(shard.0 + turn * SHARDS);
    }

    fn ask_for(&mut self, user: u16) {
        let ask = match self.chance.below(10) {
            0..4 => {
                let number = self.posted.len() as u64 + 1;
                let id = number * u64::from(SHARDS) + u64::from(user % SHARDS);
                self.posted.push(id);
                let ttl_ms = TTLS_MS[self.chance.below(TTLS_MS.len() as u64) as usize];
                let ttl_ms = ttl_ms + self.chance.below(ttl_ms);
                if ttl_ms < 1_000 {
                    // Somebody looks just when it expires.
                    let after_us = ttl_ms * 1000 + self.chance.below(300_000);
                    self.after(after_us - 150_000, Event::Look(id));
                }
                Ask::Post { id, user, ttl_ms }
            }
            4..7 => Ask::Take { user },
            _ if self.posted.is_empty() => return,
            _ => {
                let recent = self.posted.len().min(12) as u64;
                let back = self.chance.below(recent) as usize;
                let id = self.posted[self.posted.len() - 1 - back];
                Ask::Find { id }
            }
        };
        let key = (self.chance.happens(600)).then(|| self.op() | KEY_BIT);
        self.send_request(ask, key, 0);
    }

    pub(super) fn op(&mut self) -> OpId {
        self.numbers += 1;
        self.numbers
    }

    /// Reads every mailbox once more, at any nodes.
    pub(super) fn probe(&mut self) {
        for user in 0..USERS as u16 {
            let key = self.op() | KEY_BIT;
            let op = self.send_request(Ask::Take { user }, Some(key), u32::MAX);
            self.probes.push(op);
        }
    }

    pub(super) fn is_unanswered(&self, op: OpId) -> Option<&Ask> {
        let attempt = self.attempts.get(&op).filter(|a| !a.is_answered);
        attempt.map(|attempt| &attempt.call.ask)
    }

    pub(super) fn send_request(&mut self, ask: Ask, key: Option<OpId>, tries: u32) -> OpId {
        let op = self.op();
        let call = Call {
            op,
            key,
            tries: 0,
            is_repeat: false,
            ask,
        };
        self.history.begin(&call, self.now_us);
        let attempt = Attempt {
            call: call.clone(),
            begun_us: self.now_us,
            tries,
            is_answered: false,
        };
        self.attempts.insert(op, attempt);
        let index = self.chance.below(self.slots.len() as u64) as usize;
        self.note(|| format!("client at node {index}: {}", trace::asked(&call)));
        let slot = &mut self.slots[index];
        if slot.paused_us <= self.now_us
            && let Some(node) = &mut slot.node
        {
            node.now_us = self.now_us;
            node.request(call, op);
            let out = std::mem::take(&mut node.out);
            self.outs(index, out);
        }
        let patience = self.chance.between(300_000, 2_500_000);
        self.after(patience, Event::Retry(op));
        op
    }

    /// A client that has a key and no answer repeats its request at any node.
    pub(super) fn retry(&mut self, op: OpId) {
        let Some(attempt) = self.attempts.get(&op) else {
            return;
        };
        let (ask, key, tries) = (attempt.call.ask.clone(), attempt.call.key, attempt.tries);
        let again = !attempt.is_answered || (tries == 0 && self.chance.happens(100));
        if key.is_some() && tries < 4 && again && self.now_us < self.end_us - 1_500_000 {
            self.send_request(ask, key, tries + 1);
        }
    }

    pub(super) fn answer(&mut self, op: OpId, reply: &Reply) {
        let now_us = self.now_us;
        if let Some(attempt) = self.attempts.get_mut(&op)
            && !std::mem::replace(&mut attempt.is_answered, true)
        {
            self.answers += 1;
            let (call, begun_us) = (attempt.call.clone(), attempt.begun_us);
            self.note(|| {
                format!(
                    "client is told: {}: {}",
                    trace::asked(&call),
                    trace::replied(reply)
                )
            });
            let expired = match (reply, &call.ask) {
                (Reply::Found(Status::Ended(How::Expired)), Ask::Find { id }) => Some(*id),
                _ => None,
            };
            self.history.answered(&call, begun_us, reply, now_us);
            if let Some(id) = expired {
                self.expiry_seen(id);
            }
        }
    }
}
