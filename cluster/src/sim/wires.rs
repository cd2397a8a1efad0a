//! How what a node does reaches the store, its peers, the clients and the checker, and how their
//! answers reach the node.
//!
//! It owns delay, loss and repetition between peers. Those between node and store are in `store`.

use super::node::{Fact, Message, Node, Out};
use super::store::{Caller, StoreEvent};
use super::trace;
use super::world::{Event, Slot, World};
use crate::member::Generation;

impl World {
    /// Lets a node act; what comes while it stands still comes afterwards.
    pub(super) fn with_node(
        &mut self,
        generation: Generation,
        again: Event,
        act: impl FnOnce(&mut Node),
    ) {
        let Some(index) = self.index(generation) else {
            return;
        };
        if self.slots[index].paused_us > self.now_us {
            let rest = self.slots[index].paused_us - self.now_us;
            let late = self.chance.below(3_000);
            return self.after(rest + late, again);
        }
        if let Some(node) = &mut self.slots[index].node {
            node.now_us = self.now_us;
            act(node);
            let out = std::mem::take(&mut node.out);
            self.outs(index, out);
        }
    }

    pub(super) fn outs(&mut self, index: usize, out: Vec<Out>) {
        for out in out {
            match out {
                Out::Store(ticket, request) => {
                    let caller = Caller {
                        node: index,
                        generation: self.slots[index].generation,
                        ticket,
                    };
                    let me = caller.generation;
                    let text = || format!("{} {}", trace::node(me), trace::requested(&request));
                    self.note(text);
                    let weather = self.road(index, &request);
                    let chance = &mut self.chance;
                    let mut store = self.store.borrow_mut();
                    let events = store.begin(caller, request, weather, chance);
                    drop(store);
                    for (delay_us, event) in events {
                        self.after(delay_us, Event::Store(event));
                    }
                }
                Out::Peer(to, message) => self.send(index, to, &message),
                Out::Client(op, reply) => self.answer(op, &reply),
                Out::Fact(fact) => self.fact(index, fact),
            }
        }
    }

    fn send(&mut self, from: usize, to: Generation, message: &Message) {
        let cut = |slot: &Slot| slot.cut_off_us > self.now_us;
        let is_cut = cut(&self.slots[from]) || self.index(to).is_some_and(|i| cut(&self.slots[i]));
        // A connection repeats no call: a repeat is the caller's, and says so.
        let is_call = matches!(message, Message::Forward(..));
        let me = self.slots[from].generation;
        self.note(|| {
            let (me, to) = (trace::node(me), trace::node(to));
            format!("{me} to {to}: {}", trace::told(message))
        });
        let copies = 1 + u64::from(self.chance.happens(30) && !is_call);
        for _ in 0..copies {
            let is_lost = self.chance.happens(self.weather.lost / 4);
            let is_late = self.chance.happens(self.weather.late / 4);
            let most = if is_late { 800_000 } else { 3_000 };
            let delay_us = self.chance.between(100, most);
            if !is_lost && !is_cut {
                self.after(delay_us, Event::Peer(to, message.clone()));
            }
        }
    }

    fn fact(&mut self, index: usize, fact: Fact) {
        let (now_us, me) = (self.now_us, self.slots[index].generation);
        if let Some(text) = trace::fact(&fact) {
            self.note(|| format!("{} {text}", trace::node(me)));
        }
        match fact {
            Fact::Damaged(shard) => {
                if self.damaged != Some(shard) {
                    self.history.fail(format!("{shard:?} is not damaged"));
                }
            }
            Fact::Flushed(id, row) => self.history.flushed(id, row, now_us),
            Fact::Released(shard, epoch, frames) => self.history.released(shard, epoch, frames),
            Fact::WentBack(shard) => self.history.fail(format!("{shard:?}: the clock went back")),
        }
    }

    pub(super) fn store_event(&mut self, event: StoreEvent) {
        let store = self.store.clone();
        let mut store = store.borrow_mut();
        let before = self.trace.is_some().then(|| store.claims.clone());
        let answer = store.happen(event, self.now_us, &mut self.chance);
        if let StoreEvent::Apply { .. } = event {
            for (shard, row) in &store.claims {
                self.history.claimed(*shard, row);
                if before.as_ref().is_some_and(|b| b.get(shard) != Some(row)) {
                    self.note(|| format!("shard {} is claimed: {}", shard.0, trace::claim(row)));
                }
            }
        }
        drop(store);
        if let Some((caller, answer)) = answer {
            let delay_us = self.chance.between(100, 1_000);
            self.after(delay_us, Event::Answered(caller, answer));
        }
    }
}
