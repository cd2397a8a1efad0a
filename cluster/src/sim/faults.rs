//! What goes wrong, and when.
//!
//! It owns the choice of faults. What a fault does to nodes and store is in `world`.

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
    /// A node thinks that it must claim a shard.
    Suspect(usize),
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
    /// The network gets worse.
    Weather(Weather),
    /// A frame in the middle of a journal is lost on every replica.
    Damage,
}

pub(super) fn fault(nodes: usize, may_damage: bool, chance: &mut Chance) -> Fault {
    let node = chance.below(nodes as u64) as usize;
    match chance.below(20) {
        0..4 => Fault::Pause(node, chance.between(50_000, 2_500_000)),
        4..7 => Fault::Crash(node, chance.between(100_000, 1_500_000)),
        7..9 => Fault::Panic(node),
        9..11 => Fault::Suspect(node),
        11 => Fault::CutOff(node, chance.between(50_000, 1_500_000)),
        12 => Fault::StoreAway(node, chance.between(50_000, 1_500_000)),
        13 => Fault::RedisAway(chance.between(100_000, 3_000_000)),
        14 => Fault::RedisWiped,
        15..17 => {
            let ahead = chance.between(600, 60_000) as i64;
            let by = if chance.happens(700) { ahead } else { -ahead };
            Fault::Jump(node, by, chance.between(50_000, 1_500_000))
        }
        17 if may_damage => Fault::Damage,
        _ => Fault::Weather(weather(chance)),
    }
}

fn weather(chance: &mut Chance) -> Weather {
    let replica = chance.below(6) as usize;
    Weather {
        lost: [0, 20, 100, 250][chance.below(4) as usize],
        late: [0, 20, 100, 250][chance.below(4) as usize],
        down: Some(replica).filter(|replica| *replica < 3),
    }
}
