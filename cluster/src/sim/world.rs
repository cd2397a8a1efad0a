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
use super::duty::{TICK_US, View};
use super::faults::{Fault, fault};
use super::history::History;
use super::host::KEY_BIT;
use super::model::{Ask, Call, Id, OpId, Reply, Status};
use super::node::{Fact, Message, Node, Out, SHARDS, shard_of};
use super::store::{Answer, Caller, Store, StoreEvent, Weather};
use crate::member::Generation;
use crate::ownership::time::{is_fit, skew_ms};
use crate::shard::Shard;

/// Faults and new requests end, all is made well.
const HEALED_US: u64 = 8_000_000;
/// The promise is held against what is left.
const END_US: u64 = 12_500_000;
const LEASE_US: u64 = 700_000;
const USERS: u64 = 6;

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

enum Event {
    Tick(Generation),
    Store(StoreEvent),
    Answered(Caller, Answer),
    Peer(Generation, Message),
    Start(usize),
    Request,
    Retry(OpId),
    Fault,
    ClockRight(usize),
}

struct Slot {
    node: Option<Node>,
    generation: Generation,
    starts: u64,
    paused_us: u64,
    cut_off_us: u64,
    store_away_us: u64,
    wall_offset_ms: i64,
}

struct Attempt {
    call: Call,
    begun_us: u64,
    tries: u32,
    is_answered: bool,
}

struct World {
    bug: Option<PlantedBug>,
    chance: Chance,
    now_us: u64,
    events: u64,
    answers: u64,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, Event>,
    numbers: u64,
    slots: Vec<Slot>,
    store: Rc<RefCell<Store>>,
    weather: Weather,
    leases: BTreeMap<Generation, (u64, bool)>,
    redis_away_us: u64,
    attempts: BTreeMap<OpId, Attempt>,
    posted: Vec<Id>,
    history: History,
    may_damage: bool,
    damaged: Option<Shard>,
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
            wall_offset_ms: chance.below(400) as i64 - 200,
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
        };
        for index in 0..nodes {
            let after_us = world.chance.below(300_000);
            world.after(after_us, Event::Start(index));
        }
        world.after(500_000, Event::Request);
        world.after(1_000_000, Event::Fault);
        world
    }

    fn after(&mut self, delay_us: u64, event: Event) {
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
            Event::Fault => {
                if self.now_us < HEALED_US {
                    let fault = fault(self.slots.len(), self.may_damage, &mut self.chance);
                    self.fault(fault);
                    let next = self.chance.between(50_000, 500_000);
                    self.after(next, Event::Fault);
                }
            }
            Event::ClockRight(index) => self.set_clock(index, 0),
        }
    }

    fn index(&self, generation: Generation) -> Option<usize> {
        let is_it = |slot: &Slot| slot.node.is_some() && slot.generation == generation;
        self.slots.iter().position(is_it)
    }

    /// Lets a node act; what comes while it stands still comes afterwards.
    fn with_node(&mut self, generation: Generation, again: Event, act: impl FnOnce(&mut Node)) {
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

    fn outs(&mut self, index: usize, out: Vec<Out>) {
        for out in out {
            match out {
                Out::Store(ticket, request) => {
                    let caller = Caller {
                        node: index,
                        generation: self.slots[index].generation,
                        ticket,
                    };
                    let mut weather = self.weather;
                    if self.slots[index].store_away_us > self.now_us {
                        weather.lost = 1000;
                    }
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

    fn new_request(&mut self) {
        if self.now_us >= HEALED_US + 500_000 {
            return;
        }
        let next_us = self.chance.between(5_000, 50_000);
        self.after(next_us, Event::Request);
        let user = self.chance.below(USERS) as u16;
        let ask = match self.chance.below(10) {
            0..4 => {
                let number = self.posted.len() as u64 + 1;
                let id = number * u64::from(SHARDS) + u64::from(user % SHARDS);
                self.posted.push(id);
                let ttl_ms = [300, 1_500, 5_000, 60_000][self.chance.below(4) as usize];
                let ttl_ms = ttl_ms + self.chance.below(ttl_ms);
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

    fn op(&mut self) -> OpId {
        self.numbers += 1;
        self.numbers
    }

    fn send_request(&mut self, ask: Ask, key: Option<OpId>, tries: u32) {
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
    }

    /// A client that has a key and no answer repeats its request at any node.
    fn retry(&mut self, op: OpId) {
        let Some(attempt) = self.attempts.get(&op) else {
            return;
        };
        let (ask, key, tries) = (attempt.call.ask.clone(), attempt.call.key, attempt.tries);
        let again = !attempt.is_answered || (tries == 0 && self.chance.happens(100));
        if key.is_some() && tries < 4 && again && self.now_us < END_US - 1_500_000 {
            self.send_request(ask, key, tries + 1);
        }
    }

    fn answer(&mut self, op: OpId, reply: &Reply) {
        let now_us = self.now_us;
        if let Some(attempt) = self.attempts.get_mut(&op)
            && !std::mem::replace(&mut attempt.is_answered, true)
        {
            self.answers += 1;
            let (call, begun_us) = (&attempt.call, attempt.begun_us);
            self.history.answered(call, begun_us, reply, now_us);
        }
    }

    fn fault(&mut self, fault: Fault) {
        let now_us = self.now_us;
        match fault {
            Fault::Pause(index, us) => self.slots[index].paused_us = now_us + us,
            Fault::Crash(index, us) => {
                if self.slots[index].node.take().is_some() {
                    self.slots[index].paused_us = 0;
                    self.after(us, Event::Start(index));
                }
            }
            Fault::Panic(index) => {
                let shard = Shard(self.chance.below(u64::from(SHARDS)) as u16);
                self.poke(index, |node| node.restart(shard));
            }
            Fault::Suspect(index) => {
                let shard = Shard(self.chance.below(u64::from(SHARDS)) as u16);
                self.poke(index, |node| {
                    if node.is_fit && !node.hosts.contains_key(&shard) {
                        node.claim(shard);
                    }
                });
            }
            Fault::CutOff(index, us) => self.slots[index].cut_off_us = now_us + us,
            Fault::StoreAway(index, us) => self.slots[index].store_away_us = now_us + us,
            Fault::RedisAway(us) => self.redis_away_us = now_us + us,
            Fault::RedisWiped => self.leases.clear(),
            Fault::Jump(index, by_ms, us) => {
                let others = self
                    .slots
                    .iter()
                    .all(|slot| slot.wall_offset_ms.abs() <= 200);
                if others {
                    self.set_clock(index, by_ms);
                    self.after(us, Event::ClockRight(index));
                }
            }
            Fault::Weather(weather) => self.weather = weather,
            Fault::Damage => self.damage(),
        }
    }

    fn poke(&mut self, index: usize, act: impl FnOnce(&mut Node)) {
        let slot = &self.slots[index];
        if slot.paused_us <= self.now_us {
            self.with_node(slot.generation, Event::Request, |node| {
                act(node);
                node.pump();
            });
        }
    }

    fn set_clock(&mut self, index: usize, offset_ms: i64) {
        self.slots[index].wall_offset_ms = offset_ms;
        if let Some(node) = &mut self.slots[index].node {
            node.wall_offset_ms = offset_ms;
        }
    }

    /// Loses a frame before the last two of an owner, and the owner.
    fn damage(&mut self) {
        let shard = Shard(self.chance.below(u64::from(SHARDS)) as u16);
        let row = self.store.borrow().claims.get(&shard).cloned();
        let Some(row) = row.filter(|_| self.damaged.is_none()) else {
            return;
        };
        let frames = self.store.borrow().frames(shard);
        let from = (shard, row.epoch, row.starts_at(row.epoch));
        let live: Vec<_> = frames.range(from..).map(|(key, _)| *key).collect();
        if live.len() > 3 {
            self.damaged = Some(shard);
            let lost = self.chance.below(live.len() as u64 - 2) as usize;
            self.store.borrow_mut().damage(live[lost]);
            if let Some(index) = self.index(row.owner) {
                self.fault(Fault::Crash(index, 500_000));
            }
        }
    }

    fn heal(&mut self) {
        self.weather = Weather::default();
        self.redis_away_us = 0;
        for index in 0..self.slots.len() {
            self.set_clock(index, 0);
            let slot = &mut self.slots[index];
            slot.paused_us = slot.paused_us.min(self.now_us + 200_000);
            slot.cut_off_us = 0;
            slot.store_away_us = 0;
        }
    }

    /// Every shard has its owner again, and everything known is somewhere.
    fn finish(&mut self) {
        if self.history.violation.is_some() {
            return;
        }
        let store = self.store.borrow();
        let mut owners = BTreeMap::new();
        for shard in (0..SHARDS).map(Shard) {
            let row = store.claims.get(&shard);
            let index = row.and_then(|row| self.index(row.owner));
            let node = index.and_then(|index| self.slots[index].node.as_ref());
            let host = node.and_then(|node| node.hosts.get(&shard));
            let host = host.filter(|host| host.serves.is_some());
            let host = host.filter(|host| host.serves == row.map(|row| row.epoch));
            if let Some(host) = host {
                owners.insert(shard, &host.memory);
            } else if self.damaged != Some(shard) {
                let text = format!("{shard:?} has no owner at the end: {row:?}");
                self.history.fail(text);
            }
        }
        let status = |id: Id| {
            let archived = || store.archived(id).map(|row| Status::Ended(row.how));
            match owners.get(&shard_of(&Ask::Find { id })) {
                Some(memory) => memory.status(id).or_else(archived),
                None => archived(),
            }
        };
        let is_owned = |id: &Id| owners.contains_key(&shard_of(&Ask::Find { id: *id }));
        let owned = self.posted.iter().copied().filter(is_owned);
        self.history.finish(owned, status, self.now_us);
    }
}
