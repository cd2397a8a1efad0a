//! The world of one run: virtual time, nodes, store, membership, clients.
//!
//! It owns the order of events. It takes no part in any decision of a node.

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
use super::node::{Message, Node};
use super::store::{Answer, Caller, Store, StoreEvent, Weather};
use super::trace;
use crate::member::Generation;
use crate::ownership::time::{is_fit, skew_ms};
use crate::shard::Shard;

/// Faults end, all is made well.
pub(super) const HEALED_US: u64 = 8_000_000;
/// The promise is held against what is left, without a sleep.
const END_US: u64 = 12_500_000;
/// Every mailbox is read once more: whoever owns it must answer before the end.
const PROBE_US: u64 = END_US - 2_000_000;
/// There are new requests for so long after that.
const QUIET_AFTER_US: u64 = 500_000;
/// Some clusters sleep for a year, shortly after the last fault.
const SLEEP_US: u64 = 8_400_000;
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
    World::new(seed, bug).run()
}

/// The same run, and what happened in it, a line each.
pub fn replay(seed: u64, bug: Option<PlantedBug>) -> (Run, Vec<String>) {
    let mut world = World::new(seed, bug);
    world.trace = Some(Vec::new());
    let run = world.run();
    (run, world.trace.unwrap_or_default())
}

pub(super) enum Event {
    Tick(Generation),
    Store(StoreEvent),
    Answered(Caller, Answer),
    Peer(Generation, Message),
    Start(usize),
    Request,
    /// Somebody posts to the shard or reads of it.
    Want(Shard),
    Retry(OpId),
    Look(Id),
    Fault,
    Sleep,
    Probe,
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
    pub(super) probes: Vec<OpId>,
    pub(super) history: History,
    pub(super) may_damage: bool,
    pub(super) damaged: Option<Shard>,
    pub(super) trap: Option<Trap>,
    /// No new requests from then on.
    pub(super) quiet_us: u64,
    /// The promise is held against what is left.
    pub(super) end_us: u64,
    pub(super) trace: Option<Vec<String>>,
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
            probes: Vec::new(),
            history: History::default(),
            may_damage: seed % 8 == 3,
            damaged: None,
            trap: None,
            quiet_us: HEALED_US + QUIET_AFTER_US,
            end_us: END_US,
            trace: None,
        };
        for index in 0..nodes {
            let after_us = world.chance.below(300_000);
            world.after(after_us, Event::Start(index));
        }
        world.after(500_000, Event::Request);
        world.after(1_000_000, Event::Fault);
        world.after(PROBE_US, Event::Probe);
        if seed % 4 == 1 {
            world.after(SLEEP_US, Event::Sleep);
        }
        world
    }

    pub(super) fn after(&mut self, delay_us: u64, event: Event) {
        self.numbers += 1;
        self.what.insert(self.numbers, event);
        self.agenda
            .push(Reverse((self.now_us + delay_us, self.numbers)));
    }

    fn run(&mut self) -> Run {
        let mut is_healed = false;
        while let Some(Reverse((time_us, number))) = self.agenda.pop() {
            if time_us > self.end_us || self.history.violation.is_some() {
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
        Run {
            events: self.events,
            answers: self.answers,
            violation: self.history.violation.take(),
        }
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
            Event::Want(shard) => self.want(shard),
            Event::Retry(op) => self.retry(op),
            Event::Look(id) => {
                self.send_request(Ask::Find { id }, None, 0);
            }
            Event::Fault => {
                if self.now_us < HEALED_US {
                    let fault = fault(self.slots.len(), self.may_damage, &mut self.chance);
                    self.fault(fault);
                    let next = self.chance.between(50_000, 500_000);
                    self.after(next, Event::Fault);
                }
            }
            Event::Sleep => self.sleep(),
            Event::Probe => self.probe(),
            Event::Suspect(index, shard) => self.suspect(index, shard),
            Event::Panic(index, shard) => self.poke(index, |node| node.restart(shard)),
            Event::ClockRight(index) => self.set_clock(index, 0),
        }
    }

    pub(super) fn index(&self, generation: Generation) -> Option<usize> {
        let is_it = |slot: &Slot| slot.node.is_some() && slot.generation == generation;
        self.slots.iter().position(is_it)
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
        self.note(|| format!("{} starts", trace::node(generation)));
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
