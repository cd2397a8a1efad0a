//! The nodes of the demo: `mayfly serve` as processes, and what becomes of them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::process::Process;
use crate::cli::Failure;
use crate::cli::child::{free_addresses, this_binary};
use crate::cli::client::BaseUrl;
use crate::cli::cluster::view::ClusterView;
use crate::config::scylla::{Scope, ScyllaAddress, ScyllaSettings};

/// How long a node may take to tell its view: one that hangs must not stop the picture.
const VIEW_TIMEOUT: Duration = Duration::from_millis(400);

/// Bytes of the secret by which the nodes know each other.
const SECRET_BYTES: usize = 32;

/// What all nodes that a command starts have in common.
pub struct Joining {
    what: &'static str,
    cluster: String,
    nodes: u16,
    workers: Option<usize>,
    redis: String,
    scylla: ScyllaAddress,
    secret: PathBuf,
}

impl Joining {
    /// A cluster of a new name that says `what` it is for, with a keyspace after that and a new secret.
    ///
    /// # Errors
    /// The secret cannot be written.
    pub fn new(
        what: &'static str,
        nodes: u16,
        redis: String,
        scylla: ScyllaAddress,
        directory: &Path,
    ) -> Result<Joining, Failure> {
        let number = rand::random::<u16>();
        Ok(Joining {
            what,
            cluster: format!("mayfly-{what}-{number:04x}"),
            nodes,
            workers: None,
            redis,
            scylla: ScyllaAddress {
                keyspace: format!("mayfly_{what}_{number:04x}"),
                ..scylla
            },
            secret: write_secret(directory)?,
        })
    }

    /// The same with so many threads that serve each node.
    pub fn with_workers(self, workers: usize) -> Joining {
        Joining {
            workers: Some(workers),
            ..self
        }
    }

    /// The settings of the keyspace: one copy is enough for a demo.
    pub fn scylla_settings(&self) -> ScyllaSettings {
        ScyllaSettings {
            address: self.scylla.clone(),
            login: None,
            ca: None,
            scope: Scope::Global,
            datacenter: None,
            replication: 1,
            cluster_name: self.cluster.clone(),
        }
    }

    /// The flags of a node that all nodes share.
    fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--redis={}", self.redis),
            format!("--scylla={}", self.scylla),
            String::from("--scylla-replication=1"),
            format!("--cluster-name={}", self.cluster),
            format!("--cluster-secret-file={}", self.secret.display()),
            format!("--expect-members={}", self.nodes),
            // Nobody asks /readyz, so nobody needs to be told first.
            String::from("--drain-announce=0s"),
            String::from("--drain-timeout=5s"),
        ];
        flags.extend(self.workers.map(|workers| format!("--workers={workers}")));
        flags
    }
}

/// A node and its process.
pub struct Node {
    name: String,
    url: String,
    admin: BaseUrl,
    process: Process,
    /// Its generation, once it was a member.
    generation: Option<String>,
}

/// How the nodes stand at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// A row for each node.
    pub nodes: Vec<Row>,
    /// How many shards nobody owns, if a node tells.
    pub unowned: Option<usize>,
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub node: String,
    /// Its process.
    pub pid: u32,
    /// Where it serves.
    pub url: String,
    /// Where its admin port is.
    pub admin_url: String,
    /// `starting`, a state of members, `cut off` from the others, or `gone`.
    pub state: String,
    /// How many shards it owns.
    pub shards: usize,
}

impl Node {
    /// Starts the node of this number.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(number: u16, joining: &Joining, directory: &Path) -> Result<Node, Failure> {
        let [public, admin, peer]: [SocketAddr; 3] = free_addresses()?;
        let name = format!("{}-{number}", joining.what);
        let mut command = this_binary()?;
        command.arg("serve").args([
            format!("--node={name}"),
            format!("--listen={public}"),
            format!("--admin-listen={admin}"),
            format!("--peer-listen={peer}"),
            format!("--advertise={peer}"),
        ]);
        command.args(joining.flags());
        command.arg("--data-dir").arg(directory.join(&name));
        let url = |address| format!("http://{address}");
        Ok(Node {
            process: Process::start(&name, command, directory)?,
            url: url(public),
            admin: url(admin).parse().map_err(Failure::Failed)?,
            generation: None,
            name,
        })
    }

    /// Where it serves.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// How it stands in a view.
    fn row(&mut self, view: Option<&ClusterView>) -> Result<Row, Failure> {
        let member = view.and_then(|view| view.members.iter().find(|m| m.node == self.name));
        if let Some(member) = member {
            self.generation = Some(member.generation.clone());
        }
        let is_running = self.process.is_running()?;
        if !is_running && self.generation.is_none() {
            return Err(self.process.ended_early()?);
        }
        let state = member.map(|member| member.state.as_str());
        let owned = view.zip(self.generation.as_deref());
        Ok(Row {
            node: self.name.clone(),
            pid: self.process.pid(),
            url: self.url.clone(),
            admin_url: self.admin.to_string(),
            state: String::from(state_of(is_running, state, self.generation.is_some())),
            shards: owned.map_or(0, |(view, generation)| view.shards_of(generation)),
        })
    }
}

/// Looks at all nodes, by the view of the first that answers.
///
/// # Errors
/// A node ended before it was a member.
pub async fn look(nodes: &mut [Node]) -> Result<Picture, Failure> {
    let views = nodes.iter().map(|node| async {
        let view = timeout(VIEW_TIMEOUT, ClusterView::ask(&node.admin)).await;
        view.ok()?.ok()
    });
    let view = join_all(views).await.into_iter().flatten().next();
    let rows = nodes.iter_mut().map(|node| node.row(view.as_ref()));
    Ok(Picture {
        nodes: rows.collect::<Result<_, _>>()?,
        unowned: view.map(|view| view.unowned()),
    })
}

fn state_of(is_running: bool, as_member: Option<&str>, was_member: bool) -> &str {
    match as_member {
        _ if !is_running => "gone",
        Some(state) => state,
        None if was_member => "cut off",
        None => "starting",
    }
}

/// A new secret, in a file for its owner alone.
fn write_secret(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("secret");
    let bytes: [u8; SECRET_BYTES] = rand::random();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ended_is_gone_whatever_the_others_believe() {
        for (is_running, as_member, was_member, state) in [
            (true, None, false, "starting"),
            (true, Some("joining"), true, "joining"),
            (true, Some("serving"), true, "serving"),
            (true, None, true, "cut off"),
            (false, Some("serving"), true, "gone"),
            (false, None, true, "gone"),
        ] {
            assert_eq!(state_of(is_running, as_member, was_member), state);
        }
    }
}
