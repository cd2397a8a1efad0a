//! The settings of a node among others: how it finds them, and who it is to them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use cluster::member::address::PeerAddress;
use cluster::member::name::NodeName;

use super::{SettingsError, flags};

/// Most members that can be waited for; more are no cluster of these shards.
const EXPECT_MEMBERS_MAX: usize = 256;

/// The same settings as they are written.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterFlags {
    /// Redis where the nodes of a cluster find each other: redis://host:port; needs --scylla
    /// [default: none, one machine]
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// Address and port where other nodes call this one
    #[arg(long, env = "MAYFLY_PEER_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:7946", value_parser = flags::address)]
    pub peer_listen: SocketAddr,
    /// Where other nodes reach --peer-listen, host:port [default: --peer-listen itself]
    #[arg(long, env = "MAYFLY_ADVERTISE", value_name = "HOST:PORT", value_parser = advertised)]
    pub advertise: Option<PeerAddress>,
    /// What people call this node [default: its host name]
    #[arg(long, env = "MAYFLY_NODE", value_name = "NAME", value_parser = node_name)]
    pub node: Option<NodeName>,
    /// Members that are enough to begin with after a cold start, 1 to 256 [default: none, those that
    /// were the same for 2s]
    #[arg(long, env = "MAYFLY_EXPECT_MEMBERS", value_name = "N", value_parser = expected)]
    pub expect_members: Option<usize>,
    /// File with the secret that all nodes know, at least 16 bytes [default: none, only for a network
    /// that nobody else can reach]
    #[arg(long, env = "MAYFLY_CLUSTER_SECRET_FILE", value_name = "FILE")]
    pub cluster_secret_file: Option<PathBuf>,
}

/// A node among others, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Where the registry is; it may hold a password.
    pub redis: String,
    /// Where this node listens for others.
    pub peer_listen: SocketAddr,
    /// Where they reach it.
    pub advertise: PeerAddress,
    /// What people call it.
    pub node: NodeName,
    /// Members that are enough to begin with.
    pub expect_members: Option<usize>,
    /// The file of the secret.
    pub secret_file: Option<PathBuf>,
}

impl fmt::Debug for ClusterSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSettings")
            .field("peer_listen", &self.peer_listen)
            .field("advertise", &self.advertise)
            .field("node", &self.node)
            .field("expect_members", &self.expect_members)
            .finish_non_exhaustive()
    }
}

impl ClusterFlags {
    /// The settings, if other nodes are asked for; `has_scylla` tells whether there are stores for it.
    ///
    /// # Errors
    /// [`SettingsError::Conflict`].
    pub fn check(self, has_scylla: bool) -> Result<Option<ClusterSettings>, SettingsError> {
        let conflict = |setting, reason: String| Err(SettingsError::Conflict { setting, reason });
        let redis = match (self.redis, has_scylla) {
            (None, _) => return Ok(None),
            (Some(redis), true) => redis,
            (Some(_), false) => {
                return conflict(
                    "redis",
                    String::from(
                        "only finds other nodes, messages need a store that all of them reach; name it by --scylla",
                    ),
                );
            }
        };
        let advertise = match self.advertise {
            Some(address) => address,
            None => match self.peer_listen.to_string().parse() {
                Ok(address) => address,
                Err(error) => return conflict("advertise", format!("{error}")),
            },
        };
        let node = match self.node.or_else(host_name) {
            Some(node) => node,
            None => {
                let reason = "the host has no name to call this node by; give one";
                return conflict("node", String::from(reason));
            }
        };
        Ok(Some(ClusterSettings {
            redis,
            peer_listen: self.peer_listen,
            advertise,
            node,
            expect_members: self.expect_members,
            secret_file: self.cluster_secret_file,
        }))
    }
}

fn host_name() -> Option<NodeName> {
    let name = rustix::system::uname();
    name.nodename().to_str().ok()?.parse().ok()
}

fn advertised(text: &str) -> Result<PeerAddress, String> {
    text.parse::<PeerAddress>()
        .map_err(|error| error.to_string())
}

fn node_name(text: &str) -> Result<NodeName, String> {
    text.parse::<NodeName>().map_err(|error| error.to_string())
}

fn expected(text: &str) -> Result<usize, String> {
    flags::count_within(text, 1, EXPECT_MEMBERS_MAX)
}
