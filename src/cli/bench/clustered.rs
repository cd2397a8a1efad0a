//! `mayfly bench --cluster`: what a post, or a message of a bulk, costs all nodes of a cluster together, as a multiple of
//! what the no-op server pays for a post.
//!
//! Nodes, their stores and the load share this machine, whose caches the stores sweep. So the no-op runs beside them:
//! each virtual client asks a node, and when it is answered, posts to the no-op, once for each message: that so gets as
//! many posts in the same bursts.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::load::{Target, drive};
use super::process::{Cpu, Server, Setup};
use super::tally::Tally;
use super::work::{BULK_MESSAGES, Scenario, Work};
use crate::cli::cluster::demo::nodes::{Joining, Node, look};
use crate::cli::cluster::demo::stores::{apply_schema, start_redis};
use crate::cli::scratch::Scratch;
use crate::cli::{Failure, terminal};
use crate::config::scylla::ScyllaAddress;

/// How long the nodes may take until each has its shards.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A view has to be the same for so long: shards still move to who came last.
const STEADY: Duration = Duration::from_secs(2);

/// Load before the first round, not measured, of as long as the messages live: then what is measured has what
/// expires and is archived beside it.
const WARM_UP: Duration = Duration::from_secs(2);

/// What is measured: posts for `duration` in all, in so many rounds.
pub struct Clustered<'a> {
    /// Threads of each server, and where their logs go.
    pub setup: &'a Setup,
    /// The load; its address is replaced by the first node's.
    pub load: &'a Target,
    /// Posts, alone or in bulk.
    pub scenario: Scenario,
    /// How many nodes.
    pub nodes: u16,
    /// Their Redis; without one it is started.
    pub redis: Option<&'a str>,
    /// Their ScyllaDB.
    pub scylla: &'a ScyllaAddress,
    /// The time-out of posted messages, in seconds.
    pub timeout_secs: u64,
    /// Rounds.
    pub rounds: u32,
    /// Load over all rounds.
    pub duration: Duration,
}

struct Round {
    /// Of a post.
    noop_us: f64,
    /// Of a message.
    nodes_us: Vec<f64>,
    /// Messages of each request.
    messages: u64,
    tally: Tally,
}

impl Clustered<'_> {
    /// Measures and prints; fails if an answer was not as expected, for such a ratio says nothing.
    ///
    /// # Errors
    /// A server that does not start, is silent, or answers otherwise than expected.
    pub async fn run(&self, as_json: bool) -> Result<(), Failure> {
        if cfg!(debug_assertions) {
            terminal::remark("this is a debug build: its ratios say little");
        }
        let scratch = Scratch::new(&self.setup.scratch, "bench")?;
        let (scylla, directory) = (self.scylla.clone(), scratch.path());
        let (redis, _redis_process) = match self.redis {
            Some(url) => (String::from(url), None),
            None => {
                let (url, process) = start_redis(directory).await?;
                (url, Some(process))
            }
        };
        let joining = Joining::new("bench", self.nodes, redis, scylla, directory)?;
        let joining = joining.with_workers(self.setup.workers);
        apply_schema(&joining.scylla_settings()).await?;
        let started = (1..=self.nodes).map(|number| Node::start(number, &joining, directory));
        let mut nodes = started.collect::<Result<Vec<_>, _>>()?;
        let noop = Server::noop(self.setup.workers).await?;
        steady(&mut nodes).await?;
        let rounds = self.measure(&nodes, &noop).await?;
        self.print(&rounds, as_json)?;
        match rounds.iter().map(|round| round.tally.failures()).sum() {
            0_u64 => Ok(()),
            failures => Err(Failure::Failed(format!(
                "{failures} answers were not as expected; these ratios do not count"
            ))),
        }
    }

    async fn measure(&self, nodes: &[Node], noop: &Server) -> Result<Vec<Round>, Failure> {
        let load = match self.scenario {
            Scenario::Bulk => self.load.for_bulks(),
            _ => self.load.clone(),
        };
        let target = Target {
            address: address_of(&nodes[0])?,
            beside: Some((noop.address, self.messages())),
            ..load
        };
        let warm_up = WARM_UP + Duration::from_secs(self.timeout_secs);
        let (_, mut work) = drive(&target, self.posts(), warm_up, "warm-up").await?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let before = Meters::read(nodes, noop)?;
            let (tally, next) = drive(&target, work, self.duration / self.rounds, "post").await?;
            let after = Meters::read(nodes, noop)?;
            rounds.push(before.until(&after, tally, self.messages()));
            work = next;
        }
        Ok(rounds)
    }

    fn posts(&self) -> Work {
        let timeout_secs = self.timeout_secs;
        match self.scenario {
            Scenario::Bulk => Work::Bulk {
                next: 0,
                timeout_secs,
            },
            _ => Work::Post {
                next: 0,
                end: u64::MAX,
                each: 1,
                timeout_secs,
                ids: None,
            },
        }
    }

    /// Messages of each request.
    fn messages(&self) -> u64 {
        match self.scenario {
            Scenario::Bulk => BULK_MESSAGES,
            _ => 1,
        }
    }

    fn print(&self, rounds: &[Round], as_json: bool) -> io::Result<()> {
        if as_json {
            return terminal::json(&Value::from_iter(rounds.iter().map(Round::json)));
        }
        let head = [
            "NODES",
            "WORKERS",
            "MESSAGES/s",
            "NO-OP us",
            "NODES us",
            "RATIO",
        ];
        let rows: Vec<_> = rounds
            .iter()
            .map(|round| round.cells(self.setup.workers))
            .collect();
        terminal::table(head, &rows)
    }
}

impl Round {
    fn ratio(&self) -> f64 {
        self.nodes_us.iter().sum::<f64>() / self.noop_us
    }

    fn cells(&self, workers: usize) -> [String; 6] {
        let nodes_us = self.nodes_us.iter().map(|us| format!("{us:.1}"));
        [
            self.nodes_us.len().to_string(),
            workers.to_string(),
            format!("{:.0}", self.tally.per_second() * self.messages as f64),
            format!("{:.1}", self.noop_us),
            nodes_us.collect::<Vec<_>>().join(" + "),
            format!("{:.2}", self.ratio()),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "noop_us": self.noop_us,
            "nodes_us": self.nodes_us,
            "ratio": self.ratio(),
            "load": self.tally.json(),
        })
    }
}

/// What all servers have used so far.
struct Meters {
    noop: Cpu,
    nodes: Vec<Cpu>,
}

impl Meters {
    fn read(nodes: &[Node], noop: &Server) -> io::Result<Meters> {
        let nodes = nodes.iter().map(|node| Cpu::of(node.pid()));
        Ok(Meters {
            noop: noop.cpu()?,
            nodes: nodes.collect::<io::Result<_>>()?,
        })
    }

    /// A round from here on: what each server used for each request.
    fn until(&self, after: &Meters, tally: Tally, messages: u64) -> Round {
        let posts = (tally.answers().max(1) * messages) as f64;
        let us = |before: Cpu, after: Cpu| after.since(before).as_secs_f64() * 1e6 / posts;
        let nodes = self.nodes.iter().zip(&after.nodes);
        Round {
            noop_us: us(self.noop, after.noop),
            nodes_us: nodes.map(|(before, after)| us(*before, *after)).collect(),
            messages,
            tally,
        }
    }
}

/// Waits until every node owns shards, every shard has an owner, and that stays so for a while.
async fn steady(nodes: &mut [Node]) -> Result<(), Failure> {
    terminal::remark("starting the nodes");
    let (start, mut since, mut seen) = (Instant::now(), Instant::now(), HashMap::new());
    loop {
        let picture = look(nodes).await?;
        let shares = picture
            .nodes
            .iter()
            .map(|row| (row.node.clone(), row.shards));
        let shares: HashMap<_, _> = shares.collect();
        let is_whole = picture.unowned == Some(0) && shares.values().all(|shards| *shards > 0);
        if !is_whole || shares != seen {
            (since, seen) = (Instant::now(), shares);
        } else if since.elapsed() >= STEADY {
            return Ok(());
        }
        if start.elapsed() > JOIN_TIMEOUT {
            return Err(Failure::Failed(format!(
                "the nodes do not share all shards after {} s",
                JOIN_TIMEOUT.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Where a node serves.
fn address_of(node: &Node) -> Result<SocketAddr, Failure> {
    let address = node.url().trim_start_matches("http://").parse();
    address.map_err(|_| Failure::Failed(format!("{} is no address", node.url())))
}
