//! The consistent-hash ring: in which order members come into question for a shard.
//!
//! The order depends on the nodes' names alone, so all members find the same one, and so does a
//! plan for a node that is not there yet. What a member may carry is for placement to say.

use std::hash::{Hash, Hasher};

use consistent_hash::{Node, RingHash, StaticHashRing};
use xxhash_rust::xxh3::Xxh3;

use crate::member::name::NodeName;
use crate::member::{Generation, Member};
use crate::shard::Shard;

/// Places of each node on the ring: with 128 a node's part of the ring is within about a quarter of
/// the mean.
const PLACES_PER_NODE: usize = 128;

/// The members at their places.
pub(crate) struct Ring(StaticHashRing<'static, Place, (), Pinned>);

impl Ring {
    /// A ring of these members. Two of one name share their places, the older generation first.
    pub(crate) fn new<'a>(members: impl Iterator<Item = &'a Member>) -> Ring {
        let node = |member: &Member| {
            let place = Place {
                node: member.node.clone(),
                generation: member.generation,
            };
            Node::new(place).quantity(PLACES_PER_NODE)
        };
        Ring(StaticHashRing::new(Pinned, members.map(node)))
    }

    /// All members, the one that comes first for this shard first.
    pub(crate) fn candidates(&self, shard: Shard) -> impl Iterator<Item = Generation> {
        let candidates = self.0.calc_candidates(&Item(shard));
        candidates.map(|node| node.key.generation)
    }
}

/// Whose place it is. Only the name is hashed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    node: NodeName,
    generation: Generation,
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(self.node.as_str().as_bytes());
    }
}

struct Item(Shard);

impl Hash for Item {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&self.0.0.to_le_bytes());
    }
}

/// The hash of the ring: XXH3, seed 0, of bytes that are the same on every machine and in every
/// release of Rust. Members of different releases must agree, so a test pins it.
struct Pinned;

impl RingHash for Pinned {
    fn hash_item<T: Hash>(&self, item: &T) -> u64 {
        let mut hasher = Xxh3::new();
        item.hash(&mut hasher);
        hasher.digest()
    }

    fn hash_vnode<K: Hash>(&self, node: &K, place: usize) -> u64 {
        let mut hasher = Xxh3::new();
        node.hash(&mut hasher);
        hasher.update(&(place as u64).to_le_bytes());
        hasher.digest()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::member::State;

    fn member(node: &str, generation: u128) -> Member {
        Member {
            generation: Generation(Uuid::from_u128(generation)),
            node: node.parse().expect("a name"),
            address: "10.0.0.1:7946".parse().expect("an address"),
            state: State::Serving,
            version: "1.0.0".parse().expect("a version"),
        }
    }

    fn candidates(members: &[Member], shard: u16) -> Vec<u128> {
        let ring = Ring::new(members.iter());
        let candidates = ring.candidates(Shard(shard));
        candidates.map(|c| c.0.as_u128()).collect()
    }

    #[test]
    fn the_hash_of_the_ring_is_pinned() {
        let member = member("mayfly-0", 1);
        let place = Place {
            node: member.node,
            generation: member.generation,
        };
        let hashes = [
            Pinned.hash_item(&Item(Shard(0))),
            Pinned.hash_item(&Item(Shard(4_095))),
            Pinned.hash_vnode(&place, 0),
            Pinned.hash_vnode(&place, 127),
        ];
        assert_eq!(
            hashes,
            [
                3685390413631870213,
                2390076712192780250,
                17334343339728922421,
                6225629892018829883
            ]
        );
    }

    #[test]
    fn the_order_of_members_for_a_shard_is_pinned() {
        let members = ["mayfly-0", "mayfly-1", "mayfly-2"];
        let members: Vec<_> = (0..3).map(|n| member(members[n], n as u128)).collect();
        let first: Vec<_> = (0..6).map(|s| candidates(&members, s)).collect();
        let pinned = [
            [0, 2, 1],
            [1, 0, 2],
            [2, 0, 1],
            [1, 0, 2],
            [2, 1, 0],
            [0, 1, 2],
        ];
        assert_eq!(first, pinned);
    }

    #[test]
    fn another_start_of_a_node_has_its_places() {
        let node = |name, generation| [member("mayfly-1", 7), member(name, generation)];
        for shard in 0..256 {
            let before = candidates(&node("mayfly-0", 1), shard);
            let after = candidates(&node("mayfly-0", 9), shard);
            let renamed: Vec<_> = after.iter().map(|n| if *n == 9 { 1 } else { *n }).collect();
            assert_eq!(before, renamed);
        }
    }

    #[test]
    fn each_nodes_part_of_the_ring_is_near_the_mean() {
        let members: Vec<_> = (0..8).map(|n| member(&format!("mayfly-{n}"), n)).collect();
        let ring = Ring::new(members.iter());
        let mut firsts = [0; 8];
        for shard in 0..4_096 {
            let first = ring.candidates(Shard(shard)).next().expect("a member");
            firsts[first.0.as_u128() as usize] += 1;
        }
        assert!(firsts.iter().all(|n| (384..=640).contains(n)), "{firsts:?}");
    }
}
