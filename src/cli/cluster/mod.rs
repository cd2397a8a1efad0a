//! `mayfly cluster`: looks at a cluster and changes it, by the admin port of one of its nodes.

mod view;

mod pairs;

mod status;

mod plan;

mod drain;

pub(in crate::cli) mod demo;

use clap::{Args, Subcommand};

use super::client::BaseUrl;
use super::{Failure, terminal};

/// Look at a cluster, plan its changes, drain a node, or try one on this machine.
#[derive(Args, Debug)]
pub struct Cluster {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show the members of a cluster and who owns its shards
    Status(status::Status),
    /// Tell which shards would move if nodes joined or left; moves nothing
    Plan(plan::Plan),
    /// Let a node hand its shards over to the others, and wait until it owns none
    Drain(drain::Drain),
    /// Run a cluster on this machine until Ctrl-C, to try it and to kill its nodes
    Demo(demo::Demo),
}

/// How a node of the cluster is found and an answer is shown.
#[derive(Args, Debug)]
struct AdminFlags {
    /// The admin address of a node of the cluster
    #[arg(
        long,
        env = "MAYFLY_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9090"
    )]
    admin_url: BaseUrl,
    /// Print JSON for machines
    #[arg(long)]
    json: bool,
}

impl Cluster {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Failure> {
        match self.command {
            ClusterCommand::Status(command) => command.run().await,
            ClusterCommand::Plan(command) => command.run().await,
            ClusterCommand::Drain(command) => command.run().await,
            ClusterCommand::Demo(command) => command.run().await,
        }
    }
}
