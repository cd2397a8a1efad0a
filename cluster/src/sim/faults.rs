//! What goes wrong, and when.
//!
//! It owns the choice of faults. What a fault does to nodes and store is in `harm`.

use super::chance::Chance;
use super::store::Weather;

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A node stands still for so long, then goes on as if nothing had been.
    Pause(usize, u64),
    /// A node is gone, and another generation starts after so long.
    Crash(usize, u64),
    /// A shard restarts inside the process of its node.
    Panic(usize),
    /// Two nodes think, in turn and so many times, that they must claim a shard.
    Quarrel(usize, usize, u64),
    /// No messages between a node and its peers for so long.
    CutOff(usize, u64),
    /// No answers of the store at a node for so long.
    StoreAway(usize, u64),
    /// The membership is not reachable for so long.
    RedisAway(u64),
    /// The membership has forgotten everybody.
    RedisWiped,
    /// The wall clock of a node jumps, and is put right after so long.
    Jump(usize, i64, u64),
    /// The network gets worse, or better.
    Weather(Weather),
    /// A frame in the middle of a journal is lost on every replica.
    Damage,
    /// The next node in a race window has an accident.
    Trap(Trap),
}

/// An accident that waits for a node to come by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    pub(super) window: Window,
    pub(super) accident: Accident,
    /// How the request on its way fares.
    pub(super) road: Road,
    pub(super) lasts_us: u64,
}

/// Where a node is when it happens: it has just sent this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Frame,
    Fence,
    Swap,
    Journal,
    Gate,
    Archive,
    /// A client was told that a message expired.
    Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    /// Another node claims the shard.
    Rival,
    /// Another node claims the shard, whose owner is busy and does not hear of it, and reads its journal
    /// while it grows.
    Busy,
    Pause,
    Crash,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Road {
    Usual,
    /// Most of it is lost.
    Lossy,
    /// It arrives here soon and there late.
    Spread,
}

pub(super) fn fault(nodes: usize, may_damage: bool, chance: &mut Chance) -> Fault {
    let node = chance.below(nodes as u64) as usize;
    match chance.below(30) {
        0..4 => Fault::Pause(node, chance.between(50_000, 2_500_000)),
        4..7 => Fault::Crash(node, chance.between(100_000, 1_500_000)),
        7..9 => Fault::Panic(node),
        9..12 => {
            let other = chance.below(nodes as u64) as usize;
            Fault::Quarrel(node, other, chance.between(1, 5))
        }
        12 => Fault::CutOff(node, chance.between(50_000, 1_500_000)),
        13 => Fault::StoreAway(node, chance.between(50_000, 1_500_000)),
        14 => Fault::RedisAway(chance.between(100_000, 3_000_000)),
        15 => Fault::RedisWiped,
        16..18 => {
            let ahead = chance.between(600, 60_000) as i64;
            let by = if chance.happens(700) { ahead } else { -ahead };
            Fault::Jump(node, by, chance.between(50_000, 1_500_000))
        }
        18 if may_damage => Fault::Damage,
        19..25 => Fault::Trap(trap(chance)),
        25..27 => Fault::Trap(race(chance)),
        _ => Fault::Weather(weather(chance)),
    }
}

fn trap(chance: &mut Chance) -> Trap {
    const WINDOWS: [Window; 9] = [
        Window::Frame,
        Window::Frame,
        Window::Fence,
        Window::Fence,
        Window::Swap,
        Window::Journal,
        Window::Gate,
        Window::Archive,
        Window::Expiry,
    ];
    const ACCIDENTS: [Accident; 4] = [
        Accident::Rival,
        Accident::Pause,
        Accident::Crash,
        Accident::Panic,
    ];
    const ROADS: [Road; 3] = [Road::Usual, Road::Lossy, Road::Spread];
    Trap {
        window: WINDOWS[chance.below(9) as usize],
        accident: ACCIDENTS[chance.below(4) as usize],
        road: ROADS[chance.below(3) as usize],
        lasts_us: chance.between(50_000, 2_000_000),
    }
}

/// A claim while the owner is busy and its fence read is lost.
fn race(chance: &mut Chance) -> Trap {
    Trap {
        window: Window::Gate,
        accident: Accident::Busy,
        road: Road::Lossy,
        lasts_us: chance.between(50_000, 2_000_000),
    }
}

fn weather(chance: &mut Chance) -> Weather {
    let replica = chance.below(6) as usize;
    Weather {
        lost: [0, 20, 100, 250][chance.below(4) as usize],
        late: [0, 20, 100, 250][chance.below(4) as usize],
        down: Some(replica).filter(|replica| *replica < 3),
        is_spread: false,
    }
}
