//! The links between nodes, store and Redis: which of them the faults of the moment cut.

use std::collections::HashSet;

use super::network::{Namespace, Network};
use super::relay::Relay;
use super::schedule::Fault;

/// One direction of one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    Peer { from: usize, to: usize },
    StoreAsks(usize),
    StoreAnswers(usize),
    Redis(usize),
}

/// All of them.
pub struct Links<'a> {
    network: &'a Network,
    store: Vec<Relay>,
    redis: Vec<Relay>,
    cut: HashSet<Link>,
}

impl<'a> Links<'a> {
    /// Whole links of all nodes of a network, to the servers at these ports.
    pub fn new(network: &'a Network, store_port: u16, redis_port: u16) -> Links<'a> {
        let relays = |to: &Namespace, port| {
            let nodes = network.nodes.iter();
            nodes.map(|node| Relay::start(node, to, port)).collect()
        };
        Links {
            network,
            store: relays(&network.outside, store_port),
            redis: relays(&network.hub, redis_port),
            cut: HashSet::new(),
        }
    }

    /// Cuts what any of these faults cuts; all else is whole.
    pub fn follow(&mut self, faults: impl Iterator<Item = Fault>) {
        let nodes = self.network.nodes.len();
        let cut: HashSet<_> = faults.flat_map(|fault| cut_by(fault, nodes)).collect();
        for link in self.cut.symmetric_difference(&cut) {
            if let Link::Peer { from, to } = *link {
                self.network.set_cut(from, to, cut.contains(link));
            }
        }
        for node in 0..nodes {
            let asks = cut.contains(&Link::StoreAsks(node));
            self.store[node].hold(asks, cut.contains(&Link::StoreAnswers(node)));
            let redis = cut.contains(&Link::Redis(node));
            self.redis[node].hold(redis, redis);
        }
        self.cut = cut;
    }

    /// Breaks off the connections of a node to the store.
    pub fn reset_store(&self, node: usize) {
        self.store[node].reset();
    }
}

/// What a fault cuts in a cluster of so many nodes.
fn cut_by(fault: Fault, nodes: usize) -> Vec<Link> {
    let store = |node| [Link::StoreAsks(node), Link::StoreAnswers(node)];
    let peers = |one, other| {
        let there = Link::Peer {
            from: one,
            to: other,
        };
        [
            there,
            Link::Peer {
                from: other,
                to: one,
            },
        ]
    };
    match fault {
        Fault::Cut { from, to, both } => peers(from, to)[..1 + usize::from(both)].to_vec(),
        Fault::StoreCut {
            node,
            asks,
            answers,
        } => {
            let wanted = store(node).into_iter().zip([asks, answers]);
            wanted
                .filter_map(|(link, is_cut)| is_cut.then_some(link))
                .collect()
        }
        Fault::RedisCut { node } => vec![Link::Redis(node)],
        Fault::StoreHang => (0..nodes).flat_map(store).collect(),
        Fault::Isolate { node } => {
            let others = (0..nodes).filter(|other| *other != node);
            let mut links: Vec<_> = others.flat_map(|other| peers(node, other)).collect();
            links.extend(store(node));
            links.push(Link::Redis(node));
            links
        }
        _ => Vec::new(),
    }
}
