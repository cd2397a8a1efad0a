//! `mayfly cluster demo`: a cluster on this machine, to look at, to use and to kill nodes of.
//!
//! Everything it starts it ends, and what it writes is in a directory that goes with it; only a
//! keyspace on a server that was named to it stays. `mayfly bench` starts nodes by it, too.

pub(in crate::cli) mod process;

pub(in crate::cli) mod stores;

pub(in crate::cli) mod nodes;

mod screen;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, terminal};
use crate::cli::scratch::Scratch;
use crate::config::scylla::ScyllaAddress;
use nodes::{Joining, Node};
use process::Process;
use screen::Screen;

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Run a cluster on this machine until Ctrl-C, to try it and to kill its nodes.
#[derive(Args, Debug)]
pub struct Demo {
    // Neither server is taken from a variable, so that a demo meets a real one only by name.
    /// How many nodes, 1 to 9
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// The Redis to use [default: starts redis-server, and ends it]
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Nodes of the ScyllaDB to use; a keyspace mayfly_demo_… is made there, and stays [default:
    /// starts Cassandra from --cassandra-home, and ends it]
    #[arg(long, value_name = "HOST:PORT", value_parser = scylla_nodes)]
    scylla: Option<ScyllaAddress>,
    /// Directory with lib/ (the jars of Cassandra 5) and conf/ (cassandra.yaml, logback.xml and
    /// jvm17.args), from which to start Cassandra if --scylla is not given
    #[arg(long, env = "MAYFLY_CASSANDRA_HOME", value_name = "DIR")]
    cassandra_home: Option<PathBuf>,
    /// Where the directory for logs and data is made [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print a line of JSON at each change
    #[arg(long)]
    json: bool,
}

/// Everything that runs for the demo.
#[derive(Default)]
struct Cast {
    nodes: Vec<Node>,
    stores: Vec<Process>,
}

impl Demo {
    /// Runs the cluster until a signal.
    pub async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let parent = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let scratch = Scratch::new(&parent, "demo")?;
        let mut cast = Cast::default();
        let outcome = tokio::select! {
            outcome = self.play(scratch.path(), &mut cast) => outcome,
            () = stop.asked() => Ok(()),
        };
        if !cast.nodes.is_empty() {
            terminal::remark("stopping the nodes; Ctrl-C kills them");
        }
        tokio::select! {
            () = cast.stop() => {}
            () = stop.asked() => {}
        }
        outcome
    }

    /// Starts the servers, then the nodes, and shows them for as long as nobody stops it.
    async fn play(&self, directory: &Path, cast: &mut Cast) -> Result<(), Failure> {
        terminal::remark(&format!("the logs are in {}", directory.display()));
        let (redis, scylla) = tokio::try_join!(self.redis(directory), self.scylla(directory))?;
        let (redis, redis_process) = redis;
        let (scylla, scylla_process) = scylla;
        cast.stores.extend(redis_process);
        cast.stores.extend(scylla_process);
        let joining = Joining::new("demo", self.nodes, redis, scylla, directory)?;
        stores::apply_schema(&joining.scylla_settings()).await?;
        for number in 1..=self.nodes {
            cast.nodes.push(Node::start(number, &joining, directory)?);
        }
        let mut screen = Screen::new(self.json);
        loop {
            screen.show(nodes::look(&mut cast.nodes).await?)?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Where Redis is, and its process if the demo has started it.
    async fn redis(&self, directory: &Path) -> Result<(String, Option<Process>), Failure> {
        if let Some(url) = &self.redis {
            return Ok((url.clone(), None));
        }
        terminal::remark("starting redis-server");
        let (url, process) = stores::start_redis(directory).await?;
        Ok((url, Some(process)))
    }

    /// Where ScyllaDB is, and its process if the demo has started one.
    async fn scylla(&self, directory: &Path) -> Result<(ScyllaAddress, Option<Process>), Failure> {
        if let Some(address) = &self.scylla {
            return Ok((address.clone(), None));
        }
        let Some(home) = &self.cassandra_home else {
            return Err(Failure::Usage(String::from(
                "there is no ScyllaDB; name one by --scylla HOST:PORT, or a directory with lib/ and conf/ \
                 of Cassandra 5 by MAYFLY_CASSANDRA_HOME, or from a clone of the repository run: \
                 tests/servers/with-cql sh -c 'mayfly cluster demo --scylla $CQL_URI'",
            )));
        };
        terminal::remark("starting Cassandra, which takes a while");
        let (address, process) = stores::start_cassandra(home, directory).await?;
        Ok((address, Some(process)))
    }
}

impl Cast {
    /// Stops the nodes, then ends what they need: its data goes too, so it is not asked.
    async fn stop(&mut self) {
        let nodes = self.nodes.iter_mut().map(Node::process);
        process::stop(&mut nodes.collect::<Vec<_>>()).await;
        self.stores.clear();
    }
}

/// The signals that end the demo.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> Result<Stop, Failure> {
        Ok(Stop([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for the next of them.
    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Nodes without a keyspace: the command makes one of its own, and touches no other.
///
/// # Errors
/// What is no address, or has a keyspace.
pub(in crate::cli) fn scylla_nodes(text: &str) -> Result<ScyllaAddress, String> {
    if text.contains('/') {
        return Err(String::from("leave the keyspace out: one is made"));
    }
    ScyllaAddress::parse(text)
}
