//! `mayfly bench`: measures a running service, or this binary's own cost against a no-op server.
//!
//! Read `work` and `render` (what is asked), `load` (the closed loop), `row` (a scenario from preparation to
//! processor time), `paired`, `clustered` and `memory` (servers of its own). `noop` beside this is the yardstick.

mod clustered;
mod load;
mod memory;
mod paired;
mod process;
mod render;
mod row;
mod tally;
mod wire;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::client::{BaseUrl, authorization};
use super::cluster::demo::scylla_nodes;
use super::{Failure, terminal};
use crate::config::Durability;
use crate::config::scylla::ScyllaAddress;
use crate::config::unit::parse_duration;
use clustered::Clustered;
use load::Target;
use paired::Paired;
use process::Setup;
use render::Shape;
use row::Runner;
use work::Scenario;

/// How long each measurement of `--against` takes, and each of `--against-noop`.
const DURATION: Duration = Duration::from_secs(10);
const DURATION_PAIRED: Duration = Duration::from_secs(60);

/// Measure a service.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("subject").required(true))]
pub struct Bench {
    /// Load a running service; the messages it is sent are its users' to pay for
    #[arg(long, value_name = "URL", group = "subject")]
    against: Option<BaseUrl>,
    /// Start this server and a no-op server, and compare what a request costs them
    #[arg(long, group = "subject")]
    against_noop: bool,
    /// Start this server, and measure its memory for each user with one message
    #[arg(long, group = "subject")]
    memory: bool,
    /// Start so many nodes of a cluster and a no-op server, and compare what a post, or a message of a bulk, costs
    /// all nodes and that one
    #[arg(long, value_name = "NODES", group = "subject", requires = "scylla",
        value_parser = clap::value_parser!(u16).range(1..=9))]
    cluster: Option<u16>,
    /// The Redis of --cluster [default: starts redis-server, and ends it]
    #[arg(long, value_name = "URL", requires = "cluster")]
    redis: Option<String>,
    /// Nodes of the ScyllaDB of --cluster; a keyspace mayfly_bench_… is made there, and stays
    #[arg(long, value_name = "HOST:PORT", requires = "cluster", value_parser = scylla_nodes)]
    scylla: Option<ScyllaAddress>,
    /// What is asked [default: post, or all with --against-noop]
    #[arg(long, value_enum)]
    scenario: Option<Choice>,
    /// Virtual clients, each with a connection and one request under way; bulk has a sixteenth of them
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// How long to load [default: 10s, or 60s with --against-noop]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Length of each text
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    text_bytes: u32,
    /// Time-out of each posted message, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    timeout_secs: u64,
    /// Durability of the server that is started
    #[arg(long, value_enum, default_value = "committed")]
    durability: Durability,
    /// Threads of the servers that are started
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Rounds over which the duration is spread, by turns with the no-op server
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Users of --memory
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    users: u64,
    /// Where the data of started servers goes; on the disk to be measured, not in memory
    /// [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print JSON for machines
    #[arg(long)]
    json: bool,
}

/// One scenario or every one.
#[derive(Clone, Copy, Debug)]
enum Choice {
    One(Scenario),
    All,
}

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Choice] {
        &[
            Choice::One(Scenario::Post),
            Choice::One(Scenario::Bulk),
            Choice::One(Scenario::ReadTen),
            Choice::One(Scenario::Lookup),
            Choice::One(Scenario::LookupArchived),
            Choice::One(Scenario::Mixed),
            Choice::All,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Choice::One(scenario) => scenario.to_possible_value(),
            Choice::All => Some(clap::builder::PossibleValue::new("all").help("All of them")),
        }
    }
}

impl Bench {
    /// Measures until it is done or interrupted; servers that were started are killed either way.
    pub async fn run(self) -> Result<(), Failure> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let interrupted = || Err(Failure::Failed(String::from("interrupted")));
        tokio::select! {
            done = self.measure() => done,
            _ = interrupt.recv() => interrupted(),
            _ = terminate.recv() => interrupted(),
        }
    }

    async fn measure(&self) -> Result<(), Failure> {
        if let Some(url) = &self.against {
            return self.measure_running(url).await;
        }
        let setup = Setup {
            scratch: self.scratch.clone().unwrap_or_else(std::env::temp_dir),
            durability: match self.durability {
                Durability::Committed => "committed",
                Durability::Memory => "memory",
            },
            workers: usize::from(self.workers),
        };
        let load = self.target(SocketAddr::from(([127, 0, 0, 1], 0)), "", String::new());
        if let Some((nodes, scylla)) = self.cluster.zip(self.scylla.as_ref()) {
            let clustered = Clustered {
                setup: &setup,
                load: &load,
                scenario: match self.scenario {
                    None | Some(Choice::One(Scenario::Post)) => Scenario::Post,
                    Some(Choice::One(Scenario::Bulk)) => Scenario::Bulk,
                    Some(_) => {
                        let reason = "--scenario: with --cluster it is post or bulk";
                        return Err(Failure::Usage(String::from(reason)));
                    }
                },
                nodes,
                redis: self.redis.as_deref(),
                scylla,
                timeout_secs: self.timeout_secs,
                rounds: self.rounds,
                duration: self.duration.unwrap_or(DURATION_PAIRED),
            };
            return clustered.run(self.json).await;
        }
        if self.memory {
            return memory::run(&setup, &load, self.users, self.json).await;
        }
        let paired = Paired {
            setup: &setup,
            load: &load,
            timeout_secs: self.timeout_secs,
            rounds: self.rounds,
            duration: self.duration.unwrap_or(DURATION_PAIRED),
        };
        paired.run(&self.scenarios(Choice::All), self.json).await
    }

    async fn measure_running(&self, url: &BaseUrl) -> Result<(), Failure> {
        let address = resolve(url).await?;
        let mut headers = format!("host: {}\r\n", url.authority());
        if let Some(key) = authorization()? {
            headers.push_str(&format!(
                "authorization: {}\r\n",
                key.to_str().unwrap_or_default()
            ));
        }
        let target = self.target(address, url.path(), headers);
        let mut runner = Runner::new(target, None, self.timeout_secs);
        let mut failures = 0;
        for scenario in self.scenarios(Choice::One(Scenario::Post)) {
            let duration = self.duration.unwrap_or(DURATION);
            let tally = runner.run(scenario, duration).await?.tally;
            failures += tally.failures();
            if self.json {
                let mut value = tally.json();
                value["scenario"] = scenario.name().into();
                terminal::json(&value)?;
            } else {
                terminal::table([scenario.name(), ""], &tally.rows())?;
            }
        }
        match failures {
            0 => Ok(()),
            _ => Err(Failure::Failed(format!(
                "{failures} answers were not as expected"
            ))),
        }
    }

    fn scenarios(&self, usual: Choice) -> Vec<Scenario> {
        match self.scenario.unwrap_or(usual) {
            Choice::One(scenario) => vec![scenario],
            Choice::All => Scenario::ALL.to_vec(),
        }
    }

    fn target(&self, address: SocketAddr, path: &str, headers: String) -> Target {
        let run = uuid::Uuid::now_v7().simple().to_string();
        let headers = if headers.is_empty() {
            String::from("host: localhost\r\n")
        } else {
            headers
        };
        Target {
            address,
            connections: usize::from(self.connections),
            shape: Shape {
                headers,
                path: String::from(path),
                names: format!("bench-{}-", &run[24..]),
                text: "x".repeat(self.text_bytes as usize),
            },
            beside: None,
        }
    }
}

async fn resolve(url: &BaseUrl) -> Result<SocketAddr, Failure> {
    let unknown =
        |reason: String| Failure::Failed(format!("cannot find the host of {url}: {reason}"));
    let found = tokio::net::lookup_host(url.authority()).await;
    let mut found = found.map_err(|error| unknown(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown(String::from("it has no address")))
}
