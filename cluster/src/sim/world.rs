//! The world of one run: virtual time, nodes, store, membership, clients.
//!
//! It owns the order of events and what faults do. It takes no part in any decision of a node.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use uuid::Uuid;

use super::bug::PlantedBug;
use super::chance::Chance;
use super::clients::Attempt;
use super::duty::{TICK_US, View};
use super::faults::{Trap, fault};
use super::history::History;
use super::model::{Ask, Id, OpId};
use super::node::{Fact, Message, Node, Out};
use super::store::{Answer, Caller, Store, StoreEvent, Weather};
use crate::member::Generation;
use crate::ownership::time::{is_fit, skew_ms};
use crate::shard::Shard;

/// Faults and new requests end, all is made well.
pub(super) const HEALED_US: u64 = 8_000_000;
/// The promise is held against what is left.
pub(super) const END_US: u64 = 12_500_000;
const LEASE_US: u64 = 700_000;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many events there were.
    pub events: u64,
    /// How many answers clients got.
    pub answers: u64,
    /// The first breach of the promise.
    pub violation: Option<String>,
}

/// Runs one cluster from a seed, with a planted bug or without.
pub fn simulate(seed: u64, bug: Option<PlantedBug>) -> Run {
    let mut world = World::new(seed, bug);
    world.run();
    Run {
        events: world.events,
        answers: world.answers,
        violation: world.history.violation.take(),
    }
}

pub(super) enum Event {
    Tick(Generation),
    Store(StoreEvent),
    Answered(Caller, Answer),
    Peer(Generation, Message),
    Start(usize),
    Request,
    Retry(OpId),
    Look(Id),
    Fault,
    Suspect(usize, Shard),
    Panic(usize, Shard),
    ClockRight(usize),
}

pub(super) struct Slot {
    pub(super) node: Option<Node>,
    pub(super) generation: Generation,
    pub(super) starts: u64,
    pub(super) paused_us: u64,
    pub(super) cut_off_us: u64,
    pub(super) store_away_us: u64,
    pub(super) wall_offset_ms: i64,
}

pub(super) struct World {
    pub(super) bug: Option<PlantedBug>,
    pub(super) chance: Chance,
    pub(super) now_us: u64,
    pub(super) events: u64,
    pub(super) answers: u64,
    pub(super) agenda: BinaryHeap<Reverse<(u64, u64)>>,
    pub(super) what: BTreeMap<u64, Event>,
    pub(super) numbers: u64,
    pub(super) slots: Vec<Slot>,
    pub(super) store: Rc<RefCell<Store>>,
    pub(super) weather: Weather,
    pub(super) leases: BTreeMap<Generation, (u64, bool)>,
    pub(super) redis_away_us: u64,
    pub(super) attempts: BTreeMap<OpId, Attempt>,
    pub(super) posted: Vec<Id>,
    pub(super) history: History,
    pub(super) may_damage: bool,
    pub(super) damaged: Option<Shard>,
    pub(super) trap: Option<Trap>,
}

impl World {
    fn new(seed: u64, bug: Option<PlantedBug>) -> World {
        let mut chance = Chance::new(seed);
        let nodes = chance.between(3, 6) as usize;
        let store = Rc::new(RefCell::new(Store::new(bug)));
        let slot = |chance: &mut Chance| Slot {
            node: None,
            generation: Generation(Uuid::nil()),
            starts: 0,
            paused_us: 0,
            cut_off_us: 0,
            store_away_us: 0,
            wall_offset_ms: chance.below(480) as i64 - 240,
        };
        let slots = (0..nodes).map(|_| slot(&mut chance)).collect();
        let mut world = World {
            bug,
            chance,
            now_us: 0,
            events: 0,
            answers: 0,
            agenda: BinaryHeap::new(),
            what: BTreeMap::new(),
            numbers: 0,
            slots,
            store,
            weather: Weather::default(),
            leases: BTreeMap::new(),
            redis_away_us: 0,
            attempts: BTreeMap::new(),
            posted: Vec::new(),
            history: History::default(),
            may_damage: seed % 8 == 3,
            damaged: None,
            trap: None,
        };
        for index in 0..nodes {
            let after_us = world.chance.below(300_000);
            world.after(after_us, Event::Start(index));
        }
        world.after(500_000, Event::Request);
        world.after(1_000_000, Event::Fault);
        world
    }

    pub(super) fn after(&mut self, delay_us: u64, event: Event) {
        self.numbers += 1;
        self.what.insert(self.numbers, event);
        self.agenda
            .push(Reverse((self.now_us + delay_us, self.numbers)));
    }

    fn run(&mut self) {
        let mut is_healed = false;
        while let Some(Reverse((time_us, number))) = self.agenda.pop() {
            if time_us > END_US || self.history.violation.is_some() {
                break;
            }
            if time_us > HEALED_US && !is_healed {
                is_healed = true;
                self.heal();
            }
            self.now_us = time_us;
            self.events += 1;
            if let Some(event) = self.what.remove(&number) {
                self.happen(event);
            }
        }
        self.finish();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(index) => self.start(index),
            Event::Tick(generation) => self.tick(generation),
            Event::Store(event) => self.store_event(event),
            Event::Answered(caller, answer) => {
                let is_away = self.slots[caller.node].store_away_us > self.now_us;
                let answer = if is_away { Answer::Nothing } else { answer };
                let again = Event::Answered(caller, answer.clone());
                self.with_node(caller.generation, again, |node| {
                    node.answered(caller.ticket, answer);
                    node.pump();
                });
            }
            Event::Peer(to, message) => {
                let again = Event::Peer(to, message.clone());
                self.with_node(to, again, |node| {
                    node.told(message);
                    node.pump();
                });
            }
            Event::Request => self.new_request(),
            Event::Retry(op) => self.retry(op),
            Event::Look(id) => self.send_request(Ask::Find { id }, None, 0),
            Event::Fault => {
                if self.now_us < HEALED_US {
                    let fault = fault(self.slots.len(), self.may_damage, &mut self.chance);
                    self.fault(fault);
                    let next = self.chance.between(50_000, 500_000);
                    self.after(next, Event::Fault);
                }
            }
            Event::Suspect(index, shard) => self.suspect(index, shard),
            Event::Panic(index, shard) => self.poke(index, |node| node.restart(shard)),
            Event::ClockRight(index) => self.set_clock(index, 0),
        }
    }

    pub(super) fn index(&self, generation: Generation) -> Option<usize> {
        let is_it = |slot: &Slot| slot.node.is_some() && slot.generation == generation;
        self.slots.iter().position(is_it)
    }

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
                Out::Fact(fact) => self.fact(fact),
            }
        }
    }

    fn send(&mut self, from: usize, to: Generation, message: &Message) {
        let cut = |slot: &Slot| slot.cut_off_us > self.now_us;
        let is_cut = cut(&self.slots[from]) || self.index(to).is_some_and(|i| cut(&self.slots[i]));
        // A connection repeats no call: a repeat is the caller's, and says so.
        let is_call = matches!(message, Message::Forward(..));
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

    fn fact(&mut self, fact: Fact) {
        let now_us = self.now_us;
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

    fn store_event(&mut self, event: StoreEvent) {
        let mut store = self.store.borrow_mut();
        let answer = store.happen(event, self.now_us, &mut self.chance);
        if let StoreEvent::Apply { .. } = event {
            for (shard, row) in &store.claims {
                self.history.claimed(*shard, row);
            }
        }
        drop(store);
        if let Some((caller, answer)) = answer {
            let delay_us = self.chance.between(100, 1_000);
            self.after(delay_us, Event::Answered(caller, answer));
        }
    }

    fn start(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.starts += 1;
        let number = slot.starts << 8 | index as u64;
        slot.generation = Generation(Uuid::from_u128(u128::from(number)));
        let store = self.store.clone();
        let node = Node::new(slot.generation, self.bug, store, slot.wall_offset_ms);
        slot.node = Some(node);
        let generation = slot.generation;
        self.after(1, Event::Tick(generation));
    }

    fn tick(&mut self, generation: Generation) {
        let Some(index) = self.index(generation) else {
            return;
        };
        let wall = |slot: &Slot| 1_000_000_u64.saturating_add_signed(slot.wall_offset_ms);
        let others = self.slots.iter().filter(|s| s.generation != generation);
        let mut others: Vec<_> = others.map(wall).chain([1_000_000]).collect();
        let fit = is_fit(skew_ms(wall(&self.slots[index]), &mut others));
        let is_paused = self.slots[index].paused_us > self.now_us;
        let view = (self.redis_away_us <= self.now_us).then(|| {
            if !is_paused {
                let until = self.now_us + LEASE_US;
                self.leases.insert(generation, (until, fit));
            }
            let live = self.leases.iter().filter(|(_, l)| l.0 > self.now_us);
            live.map(|(member, lease)| (*member, lease.1))
                .collect::<View>()
        });
        self.with_node(generation, Event::Tick(generation), |node| {
            node.tick(view, fit);
        });
        if !is_paused {
            let jitter = self.chance.below(30_000);
            self.after(TICK_US + jitter, Event::Tick(generation));
        }
    }
}
