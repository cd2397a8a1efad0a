//! What the faults do to nodes, store, membership and clocks.
//!
//! It owns no choice: which fault comes when is in `faults`.

use super::faults::{Accident, Fault, Road, Trap, Window};
use super::model::{Ask, Id};
use super::node::{Node, SHARDS, shard_of};
use super::store::{FRAMES_PER_SEGMENT, Request, Weather};
use super::world::{Event, Slot, World};
use crate::shard::Shard;

/// While a shard is busy so many of a thousand messages to a replica are lost.
const BUSY_LOST: u64 = 250;

/// Requests of a busy shard, and how long they take to come.
const BUSY_REQUESTS: u64 = 24;
const BUSY_US: u64 = 80_000;

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        let now_us = self.now_us;
        self.note(|| format!("fault: {fault:?}"));
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
            Fault::Quarrel(one, other, times) => {
                let shard = Shard(self.chance.below(u64::from(SHARDS)) as u16);
                let mut after_us = 0;
                for turn in 0..times {
                    let index = if turn % 2 == 0 { one } else { other };
                    self.after(after_us, Event::Suspect(index, shard));
                    after_us += self.chance.between(10_000, 200_000);
                }
            }
            Fault::CutOff(index, us) => self.slots[index].cut_off_us = now_us + us,
            Fault::StoreAway(index, us) => self.slots[index].store_away_us = now_us + us,
            Fault::RedisAway(us) => self.redis_away_us = now_us + us,
            Fault::RedisWiped => self.leases.clear(),
            Fault::Jump(index, by_ms, us) => {
                let others = self
                    .slots
                    .iter()
                    .all(|slot| slot.wall_offset_ms.abs() <= 240);
                if others {
                    self.set_clock(index, by_ms);
                    self.after(us, Event::ClockRight(index));
                }
            }
            Fault::Weather(weather) => self.weather = weather,
            Fault::Damage => self.damage(),
            Fault::Trap(trap) => self.trap = Some(trap),
        }
    }

    /// How a request fares, now that its node has sent it; what waits for it in this window strikes.
    pub(super) fn road(&mut self, index: usize, request: &Request) -> Weather {
        let mut weather = self.weather;
        if self.slots[index].store_away_us > self.now_us {
            weather.lost = 1000;
        }
        let here = window(request);
        let Some(trap) = self.trap.filter(|trap| Some(trap.window) == here) else {
            return weather;
        };
        if self.reads_old_frames(request) {
            return weather;
        }
        self.trap = None;
        self.note(|| format!("the trap strikes: {:?}, {:?}", trap.accident, trap.road));
        match trap.road {
            Road::Usual => {}
            Road::Lossy => weather.lost = 600,
            Road::Spread => weather.is_spread = true,
        }
        let shard = shard_of_request(request).or_else(|| self.shard_of_node(index));
        self.strike(index, trap, shard);
        weather
    }

    /// Whether it reads a part of a journal that its owner has left behind.
    fn reads_old_frames(&self, request: &Request) -> bool {
        let Request::ReadSegment {
            shard,
            epoch,
            segment,
            ..
        } = request
        else {
            return false;
        };
        let frames = self.store.borrow().frames(*shard);
        let last = frames.keys().next_back();
        last.is_some_and(|(_, of, seq)| (*epoch, *segment) < (*of, seq / FRAMES_PER_SEGMENT))
    }

    /// One of the shards that the node serves.
    fn shard_of_node(&mut self, index: usize) -> Option<Shard> {
        let hosts = &self.slots[index].node.as_ref()?.hosts;
        let served = hosts.iter().filter(|(_, host)| host.serves.is_some());
        let served: Vec<_> = served.map(|(shard, _)| *shard).collect();
        let turn = self.chance.below(served.len().max(1) as u64) as usize;
        served.get(turn).copied()
    }

    fn strike(&mut self, index: usize, trap: Trap, shard: Option<Shard>) {
        match (trap.accident, shard) {
            (Accident::Pause, _) => self.fault(Fault::Pause(index, trap.lasts_us)),
            (Accident::Crash, _) => self.fault(Fault::Crash(index, trap.lasts_us)),
            (Accident::Rival, Some(shard)) => self.rival(shard),
            (Accident::Busy, Some(shard)) => {
                self.rival(shard);
                self.busy(shard);
            }
            (Accident::Panic, Some(shard)) => self.after(1, Event::Panic(index, shard)),
            _ => {}
        }
    }

    fn rival(&mut self, shard: Shard) {
        let is_free = |slot: &Slot| {
            let node = slot.node.as_ref().filter(|node| node.is_fit);
            slot.paused_us <= self.now_us && node.is_some_and(|n| !n.hosts.contains_key(&shard))
        };
        let free = (0..self.slots.len()).filter(|index| is_free(&self.slots[*index]));
        let free: Vec<_> = free.collect();
        let turn = self.chance.below(free.len().max(1) as u64) as usize;
        let after_us = self.chance.between(1, 20_000);
        if let Some(rival) = free.get(turn) {
            self.after(after_us, Event::Suspect(*rival, shard));
        }
    }

    fn busy(&mut self, shard: Shard) {
        self.weather.lost = BUSY_LOST;
        for _ in 0..BUSY_REQUESTS {
            let after_us = self.chance.below(BUSY_US);
            self.after(after_us, Event::Want(shard));
        }
        self.trap = Some(Trap {
            window: Window::Journal,
            accident: Accident::Pause,
            road: Road::Spread,
            lasts_us: 0,
        });
    }

    /// A client was told that a message expired: another node may claim its shard now.
    pub(super) fn expiry_seen(&mut self, id: Id) {
        let shard = shard_of(&Ask::Find { id });
        if self.trap.is_some_and(|trap| trap.window == Window::Expiry) {
            self.trap = None;
            for index in 0..self.slots.len() {
                self.after(1, Event::Suspect(index, shard));
            }
            for _ in 0..4 {
                let after_us = self.chance.between(20_000, 200_000);
                self.after(after_us, Event::Look(id));
            }
        }
    }

    pub(super) fn suspect(&mut self, index: usize, shard: Shard) {
        self.poke(index, |node| {
            if node.is_fit && !node.hosts.contains_key(&shard) {
                node.claim(shard);
            }
        });
    }

    pub(super) fn poke(&mut self, index: usize, act: impl FnOnce(&mut Node)) {
        let slot = &self.slots[index];
        if slot.paused_us <= self.now_us {
            self.with_node(slot.generation, Event::Request, |node| {
                act(node);
                node.pump();
            });
        }
    }

    pub(super) fn set_clock(&mut self, index: usize, offset_ms: i64) {
        self.slots[index].wall_offset_ms = offset_ms;
        if let Some(node) = &mut self.slots[index].node {
            node.wall_offset_ms = offset_ms;
        }
    }

    /// Loses a frame before the last two of an owner, and the owner.
    pub(super) fn damage(&mut self) {
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

    pub(super) fn heal(&mut self) {
        self.note(|| "all faults end".to_owned());
        self.weather = Weather::default();
        self.redis_away_us = 0;
        for index in 0..self.slots.len() {
            self.set_clock(index, 0);
            self.trap = None;
            let slot = &mut self.slots[index];
            slot.paused_us = slot.paused_us.min(self.now_us + 200_000);
            slot.cut_off_us = 0;
            slot.store_away_us = 0;
        }
    }
}

fn window(request: &Request) -> Option<Window> {
    match request {
        Request::WriteFrame(..) => Some(Window::Frame),
        Request::WriteFence { .. } => Some(Window::Fence),
        Request::Swap(..) => Some(Window::Swap),
        Request::ReadSegment { .. } => Some(Window::Journal),
        Request::ReadFences(_) => Some(Window::Gate),
        Request::WriteArchive(_) => Some(Window::Archive),
        _ => None,
    }
}

fn shard_of_request(request: &Request) -> Option<Shard> {
    match request {
        Request::WriteFrame((shard, ..), _)
        | Request::Swap(shard, ..)
        | Request::WriteFence { shard, .. }
        | Request::ReadSegment { shard, .. } => Some(*shard),
        _ => None,
    }
}
