//! A cluster of its own for each test: a keyspace, a `redis-server`, a secret and some nodes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::cql_server::CqlServer;
use crate::load::Target;
use crate::node::{Node, replaced};
use crate::redis::RedisServer;
use crate::support::{LOOK_EVERY, SOON, eventually};

pub const SHARDS: usize = 256;

/// Held by the test that runs.
static TURN: Mutex<()> = Mutex::new(());

/// The servers and the nodes; all end with it.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub redis: RedisServer,
    /// The server of this test alone, where it has one.
    pub cql: Option<CqlServer>,
    /// The replicas of this test alone, where it has them.
    pub replicas: Vec<CqlServer>,
    name: String,
    scylla: String,
    replication: usize,
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// So many nodes on the CQL server that all tests use, ready, with all shards owned.
    pub fn start(nodes: usize) -> Cluster {
        let server = std::env::var("CQL_URI").expect(
            "CQL_URI names no server; run the tests by: tests/servers/with-cql cargo test --test cluster",
        );
        Cluster::start_on(turn(), nodes, &server, 1)
    }

    /// The same on a CQL server of its own.
    pub fn start_beside_a_store(nodes: usize) -> Cluster {
        let (turn, cql) = (turn(), CqlServer::start());
        let mut cluster = Cluster::start_on(turn, nodes, &cql.address(), 1);
        cluster.cql = Some(cql);
        cluster
    }

    /// The same on three CQL servers of its own, each of which holds everything; nodes begin with any.
    pub fn start_on_replicas(nodes: usize) -> Cluster {
        let (turn, replicas) = (turn(), CqlServer::start_replicas());
        let addresses = replicas.each_ref().map(CqlServer::address).join(",");
        let mut cluster = Cluster::start_on(turn, nodes, &addresses, replicas.len());
        cluster.replicas = replicas.into();
        cluster
    }

    fn start_on(
        turn: MutexGuard<'static, ()>,
        nodes: usize,
        servers: &str,
        replication: usize,
    ) -> Cluster {
        let name = format!("t_{}", Uuid::now_v7().simple());
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("secret"), format!("secret of {name}")).unwrap();
        let mut cluster = Cluster {
            nodes: Vec::new(),
            redis: RedisServer::start(),
            cql: None,
            replicas: Vec::new(),
            scylla: format!("{servers}/{name}"),
            replication,
            name,
            directory,
            _turn: turn,
        };
        cluster.apply_schema();
        for _ in 0..nodes {
            let index = cluster.add_stopped(&[&format!("--expect-members={nodes}")]);
            cluster.nodes[index].start();
        }
        cluster.await_settled();
        cluster
    }

    /// Adds a node with these arguments besides the usual ones, which does not run yet; gives its
    /// place.
    pub fn add_stopped(&mut self, arguments: &[&str]) -> usize {
        self.nodes.push(self.node(arguments));
        self.nodes.len() - 1
    }

    /// A node that does not run yet.
    pub fn node(&self, arguments: &[&str]) -> Node {
        let given: Vec<_> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        let all = replaced(&self.arguments(), &given);
        Node::new(&format!("node-{}", self.nodes.len()), &all)
    }

    /// A file of the cluster's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until every node that runs is ready and tells the same: they are the members, and own
    /// all shards.
    #[track_caller]
    pub fn await_owned(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.runs()) {
            node.await_ready();
        }
        let started = Instant::now();
        while !self.is_owned() {
            let waited = started.elapsed();
            assert!(waited < SOON, "after {waited:?}: {:#?}", self.lacks());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The same, and until nothing is on its way to another node either.
    #[track_caller]
    pub fn await_settled(&mut self) {
        self.await_owned();
        let views = || -> Option<Vec<Value>> {
            let running = self.nodes.iter().filter(|node| node.runs());
            running.map(Node::view).collect()
        };
        eventually("nothing moves", || {
            let views = views()?;
            let rests = |view: &Value| {
                view["moves"].as_array().is_some_and(Vec::is_empty)
                    && view["owners"] == views[0]["owners"]
            };
            views.iter().all(rests).then_some(())
        });
        self.await_owned();
    }

    /// Waits until every node that runs owns its share of the shards.
    #[track_caller]
    pub fn await_spread(&self) {
        let running = || (0..self.nodes.len()).filter(|index| self.nodes[*index].runs());
        let share = SHARDS / running().count() / 2;
        let has_its_share = |index| {
            self.try_shards_of(index)
                .is_some_and(|owned| owned >= share)
        };
        eventually("every node owns shards", || {
            running().all(has_its_share).then_some(())
        });
    }

    /// Waits until a node owns so many shards.
    #[track_caller]
    pub fn await_shards(&self, node: usize, count: usize) {
        eventually("a node owns its number of shards", || {
            (self.try_shards_of(node) == Some(count)).then_some(())
        });
    }

    /// Where clients find each node, running or not.
    pub fn targets(&self) -> Vec<Target> {
        self.nodes.iter().map(Node::target).collect()
    }

    /// Whether every node that runs tells that they are the members, and own all shards.
    pub fn is_owned(&self) -> bool {
        let running = || self.nodes.iter().filter(|node| node.runs());
        running().all(|node| {
            node.view()
                .is_some_and(|view| owns_all(&view, running().count()))
        })
    }

    /// What keeps the cluster from being owned, as each node tells it.
    pub fn lacks(&self) -> Vec<String> {
        let running = self.nodes.iter().filter(|node| node.runs());
        let lacks = running.map(|node| match node.view() {
            None => format!("{} does not answer", node.name),
            Some(view) => format!("{} tells {}", node.name, summary(&view)),
        });
        lacks.collect()
    }

    /// How many shards a node owns, as it tells itself.
    #[track_caller]
    pub fn shards_of(&self, node: usize) -> usize {
        eventually("a node tells what it owns", || self.try_shards_of(node))
    }

    /// The same, if it answers.
    fn try_shards_of(&self, node: usize) -> Option<usize> {
        let view = self.nodes[node].view()?;
        let owners = view["owners"].as_array().unwrap().iter();
        let own = owners.filter(|owner| owner["generation"] == view["generation"]);
        Some(own.count())
    }

    /// The keyspace at the first replica, whoever else has it.
    pub fn first_replica(&self) -> String {
        format!("{}/{}", self.replicas[0].address(), self.name)
    }

    fn arguments(&self) -> Vec<String> {
        vec![
            format!("--redis={}", self.redis.url()),
            format!("--scylla={}", self.scylla),
            format!("--scylla-replication={}", self.replication),
            format!("--cluster-name={}", self.name),
            format!("--cluster-secret-file={}", self.file("secret").display()),
        ]
    }

    /// Makes the tables, or finds them made.
    #[track_caller]
    pub fn apply_schema(&self) {
        let run = Command::new(env!("CARGO_BIN_EXE_mayfly"))
            .args(["schema", "apply"])
            .arg(format!("--scylla-replication={}", self.replication))
            .arg(format!("--scylla={}", self.scylla))
            .arg(format!("--cluster-name={}", self.name))
            .current_dir(self.directory.path())
            .output();
        let run = run.unwrap();
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }
}

fn turn() -> MutexGuard<'static, ()> {
    // A test that failed has ended its processes all the same.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summary(view: &Value) -> String {
    let members = view["members"].as_array().unwrap().iter();
    let members: Vec<_> = members
        .map(|member| {
            format!(
                "{} {} {}",
                member["node"], member["state"], member["shards"]
            )
        })
        .collect();
    let owners = view["owners"].as_array().unwrap().iter();
    let nobodys: Vec<_> = owners
        .filter(|owner| owner["generation"].is_null())
        .map(|owner| format!("{} epoch {}", owner["shard"], owner["epoch"]))
        .collect();
    format!(
        "members {members:?}, without owner {nobodys:?}, moves {}",
        view["moves"]
    )
}

fn owns_all(view: &Value, members: usize) -> bool {
    let (Some(rows), Some(owners)) = (view["members"].as_array(), view["owners"].as_array()) else {
        return false;
    };
    let lives = |owner: &Value| {
        let generation = &owner["generation"];
        rows.iter()
            .any(|member| member["generation"] == *generation)
    };
    let all = view["shards"].as_u64() == Some(owners.len() as u64);
    rows.len() == members && all && owners.iter().all(lives)
}
