//! A cluster in a network of its own, to which the faults of a schedule happen, and a keeper that starts
//! ended nodes again, as an orchestrator does.

use std::thread;
use std::time::{Duration, Instant};

use super::links::Links;
use super::network::Network;
use super::relay::Relay;
use super::schedule::{Fault, Schedule, Step};
use crate::cluster::Cluster;
use crate::node::Node;
use crate::support::server::free_port;
use crate::support::{LOOK_EVERY, eventually};

/// How long an ended node stays ended.
const RESTART_AFTER: Duration = Duration::from_millis(300);

/// A drain may take so long, and the end of a process a little more.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
const EXIT_WITHIN: Duration = Duration::from_secs(12);

/// Metrics that count what must never happen.
const NEVER: [&str; 2] = [
    "mayfly_cluster_owner_violations_total",
    "mayfly_cluster_seal_violations_total",
];

/// The same, and panics, in the logs of all lives of a node.
const NEVER_TOLD: [&str; 4] = [
    "two nodes say that they serve a shard under one epoch",
    "acknowledged messages are lost",
    "broken invariant",
    "panicked at",
];

/// What is to become of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// It runs, and is started again if it ends.
    Runs,
    /// It was asked to end, and is started again then.
    IsReplaced,
    /// It was asked to end, and stays away.
    Leaves,
    /// It was killed, or never began.
    IsAway,
}

/// The cluster with all that can be cut.
pub struct Arena<'a> {
    pub cluster: Cluster,
    pub links: Links<'a>,
    plans: Vec<Plan>,
    /// When each node was seen to have ended.
    ended: Vec<Option<Instant>>,
    redis_is_up: bool,
    _store: Relay,
}

impl<'a> Arena<'a> {
    /// So many nodes, ready, with all shards owned, and places for the rest of the network's.
    pub fn start(network: &'a Network, nodes: usize) -> Arena<'a> {
        let store = std::env::var("CQL_URI").expect(
            "CQL_URI names no server; run the tests by: tests/servers/with-cql cargo test --test cluster",
        );
        let store_port = port_of(&store);
        let relay = Relay::start(&network.hub, &network.outside, store_port);
        let mut cluster = Cluster::start(0);
        let links = Links::new(network, store_port, port_of(&cluster.redis.url()));
        let places = network.nodes.len();
        for (number, namespace) in network.nodes.iter().enumerate() {
            let node = cluster.node(&[
                "--insecure-open",
                "--drain-announce=300ms",
                &format!("--drain-timeout={}s", DRAIN_TIMEOUT.as_secs()),
            ]);
            let placed = node.placed(namespace.clone(), Network::address(number));
            cluster.nodes.push(placed);
        }
        for node in &mut cluster.nodes[..nodes] {
            node.start();
        }
        cluster.await_owned();
        let plan = |node| {
            if node < nodes {
                Plan::Runs
            } else {
                Plan::IsAway
            }
        };
        Arena {
            cluster,
            links,
            plans: (0..places).map(plan).collect(),
            ended: vec![None; places],
            redis_is_up: true,
            _store: relay,
        }
    }

    /// Lets everything of a schedule happen; what lasts longer than `length` ends then.
    pub fn suffer(&mut self, schedule: &Schedule, length: Duration) {
        let began = Instant::now();
        let mut waiting = schedule.steps.iter().peekable();
        let mut going: Vec<Step> = Vec::new();
        while began.elapsed() < length {
            let now = began.elapsed();
            let (over, rest) = going
                .into_iter()
                .partition(|step| now >= step.at + step.lasts);
            going = rest;
            let new: Vec<_> =
                std::iter::from_fn(|| waiting.next_if(|step| now >= step.at).copied()).collect();
            going.extend(&new);
            if over.len() + new.len() > 0 {
                self.links.follow(going.iter().map(|step| step.fault));
            }
            over.iter().for_each(|step: &Step| self.end(step.fault));
            new.iter().for_each(|step| self.begin(step.fault));
            self.keep();
            thread::sleep(LOOK_EVERY);
        }
        self.links.follow(std::iter::empty());
        going.iter().for_each(|step| self.end(step.fault));
    }

    fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { node, .. } => {
                self.plans[node] = match self.plans[node] {
                    Plan::Runs => Plan::IsAway,
                    leaves => leaves,
                };
                self.cluster.nodes[node].kill();
            }
            Fault::Pause { node } => self.if_runs(node, Node::pause),
            Fault::Replace { node } => self.ask_to_end(node, Plan::IsReplaced),
            Fault::Leave { node } => self.ask_to_end(node, Plan::Leaves),
            Fault::Join { node } => {
                self.plans[node] = match self.plans[node] {
                    Plan::IsAway => Plan::Runs,
                    _ => Plan::IsReplaced,
                }
            }
            Fault::StoreReset { node } => self.links.reset_store(node),
            Fault::RedisKill => {
                self.cluster.redis.kill();
                self.redis_is_up = false;
            }
            Fault::RedisHang => self.cluster.redis.pause(),
            Fault::RedisWipe => drop(self.cluster.redis.command("flushall")),
            _ => {}
        }
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { node, moves } if self.plans[node] == Plan::IsAway => {
                if moves {
                    self.cluster.nodes[node].peer_port = free_port();
                }
                self.plans[node] = Plan::Runs;
            }
            Fault::Pause { node } => self.if_runs(node, Node::resume),
            Fault::RedisKill => {
                self.cluster.redis.restart();
                self.redis_is_up = true;
            }
            Fault::RedisHang => self.cluster.redis.resume(),
            _ => {}
        }
    }

    fn if_runs(&mut self, node: usize, act: impl FnOnce(&Node)) {
        let node = &mut self.cluster.nodes[node];
        // It may have ended this moment.
        if node.runs() && node.has_ended().is_none() {
            act(node);
        }
    }

    fn ask_to_end(&mut self, node: usize, plan: Plan) {
        self.plans[node] = plan;
        self.if_runs(node, Node::terminate);
    }

    /// Starts what has ended and should run.
    fn keep(&mut self) {
        for (index, node) in self.cluster.nodes.iter_mut().enumerate() {
            if let Some(status) = node.has_ended() {
                let last = node.log().lines().last().unwrap_or_default().to_owned();
                println!(
                    "{} ended, {:?}, {status}: {last}",
                    node.name, self.plans[index]
                );
                self.ended[index] = Some(Instant::now());
            }
            if node.runs() {
                continue;
            }
            match self.plans[index] {
                Plan::IsAway => {}
                Plan::Leaves => self.plans[index] = Plan::IsAway,
                Plan::Runs | Plan::IsReplaced => {
                    if self.ended[index].is_none_or(|at| at.elapsed() >= RESTART_AFTER) {
                        node.start();
                        self.plans[index] = Plan::Runs;
                    }
                }
            }
        }
    }

    /// Waits until everything is well by itself, and gives the time that took.
    ///
    /// # Panics
    /// When it is not within `bound`, not counting drains that go on.
    pub fn await_well(&mut self, bound: Duration) -> Duration {
        let asked = Instant::now();
        while self
            .plans
            .iter()
            .any(|plan| matches!(plan, Plan::IsReplaced | Plan::Leaves))
        {
            assert!(
                asked.elapsed() < EXIT_WITHIN,
                "a drain does not end: {:?}",
                self.plans
            );
            self.keep();
            thread::sleep(LOOK_EVERY);
        }
        let healed = Instant::now();
        while !self.is_well() {
            let waited = healed.elapsed();
            assert!(
                waited < bound,
                "after {waited:?}: {:#?}",
                self.cluster.lacks()
            );
            self.keep();
            thread::sleep(LOOK_EVERY);
        }
        healed.elapsed()
    }

    fn is_well(&self) -> bool {
        let mut nodes = self.cluster.nodes.iter().zip(&self.plans);
        let as_planned = |(node, plan): (&Node, &Plan)| match plan {
            Plan::Runs => node.runs() && node.is_ready(),
            _ => !node.runs(),
        };
        nodes.all(as_planned) && self.cluster.is_owned()
    }

    /// # Panics
    /// When a node counted or told what must never happen.
    pub fn audit(&self) {
        for node in &self.cluster.nodes {
            for metric in NEVER.iter().filter(|_| node.runs()) {
                let counted = eventually("the node tells its metrics", || node.metric(metric));
                assert_eq!(counted, 0.0, "{metric} of {}", node.name);
            }
            let log = node.log();
            let is_told = |line: &&str| NEVER_TOLD.iter().any(|told| line.contains(told));
            let told: Vec<_> = log.lines().filter(is_told).collect();
            assert!(told.is_empty(), "{} tells {told:#?}", node.name);
        }
    }

    /// A node that runs.
    pub fn somebody(&self) -> &Node {
        let running = self.cluster.nodes.iter().find(|node| node.runs());
        running.expect("a node runs")
    }
}

fn port_of(address: &str) -> u16 {
    let port = address.rsplit(':').next().unwrap();
    port.parse()
        .unwrap_or_else(|_| panic!("{address} has no port"))
}
