//! The settings of the cluster's stores: where ScyllaDB is, who we are there, and what the keyspace
//! was made with. What the stores do with them is `store::scylla`'s.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{SettingsError, flags};

/// The keyspace of an address that names none.
const USUAL_KEYSPACE: &str = "mayfly";

/// The port of a node that is given without one.
const USUAL_PORT: u16 = 9042;

/// Longest name of a keyspace, in characters; CQL allows no more.
const KEYSPACE_CHARS_MAX: usize = 48;

/// Longest name of a cluster, in characters.
const CLUSTER_CHARS_MAX: usize = 48;

/// The same settings as they are written.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub struct ScyllaFlags {
    /// Name of this cluster; nodes of another name are refused
    #[arg(long, env = "MAYFLY_CLUSTER_NAME", value_name = "NAME", default_value = "mayfly", value_parser = cluster_name)]
    pub cluster_name: String,
    /// Nodes of ScyllaDB and the keyspace: host:port,host:port/keyspace [default: none, stores on
    /// this machine]
    #[arg(long, env = "SCYLLA_URI", value_name = "ADDRESS", value_parser = ScyllaAddress::parse)]
    pub scylla: Option<ScyllaAddress>,
    /// User of ScyllaDB; needs --scylla-password-file [default: none, no log-in]
    #[arg(long, env = "MAYFLY_SCYLLA_USER", value_name = "NAME")]
    pub scylla_user: Option<String>,
    /// File whose first line is the password of --scylla-user [default: none]
    #[arg(long, env = "MAYFLY_SCYLLA_PASSWORD_FILE", value_name = "FILE")]
    pub scylla_password_file: Option<PathBuf>,
    /// Certificates of authorities, in PEM, that nodes must prove; turns TLS on [default: none, no TLS]
    #[arg(long, env = "MAYFLY_SCYLLA_CA", value_name = "FILE")]
    pub scylla_ca: Option<PathBuf>,
    /// How far a majority reaches: over all datacenters, or only over --scylla-datacenter
    #[arg(
        long,
        env = "MAYFLY_SCYLLA_SCOPE",
        value_enum,
        default_value = "global"
    )]
    pub scylla_scope: Scope,
    /// The only datacenter that holds the keyspace [default: none, every datacenter]
    #[arg(long, env = "MAYFLY_SCYLLA_DATACENTER", value_name = "NAME", value_parser = datacenter)]
    pub scylla_datacenter: Option<String>,
    /// Copies of everything in a datacenter, 1 to 9; less than 3 loses data with one machine
    #[arg(long, env = "MAYFLY_SCYLLA_REPLICATION", value_name = "N", default_value = "3", value_parser = replication)]
    pub scylla_replication: usize,
}

/// Where the cluster's stores are, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScyllaSettings {
    /// Nodes to begin with, and the keyspace.
    pub address: ScyllaAddress,
    /// User, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Certificates of authorities, in PEM; with them connections are encrypted.
    pub ca: Option<PathBuf>,
    /// How far a majority reaches.
    pub scope: Scope,
    /// The only datacenter of the keyspace; always there if the scope is local.
    pub datacenter: Option<String>,
    /// Copies in a datacenter, 1 to 9.
    pub replication: usize,
    /// The name of the cluster that the keyspace belongs to.
    pub cluster_name: String,
}

/// Nodes and a keyspace, as in `10.0.0.1:9042,10.0.0.2:9042/mayfly`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScyllaAddress {
    /// `host:port` of at least one node.
    pub nodes: Vec<String>,
    /// A name that CQL takes without quotes.
    pub keyspace: String,
}

/// How far a majority reaches; one for every statement, for mixing them would be no majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Over all datacenters.
    Global,
    /// Over one datacenter.
    Local,
}

impl ScyllaFlags {
    /// The settings, if ScyllaDB is asked for.
    ///
    /// # Errors
    /// [`SettingsError::Conflict`].
    pub fn check(self) -> Result<Option<ScyllaSettings>, SettingsError> {
        let conflict = |setting, reason: &str| {
            let reason = String::from(reason);
            Err(SettingsError::Conflict { setting, reason })
        };
        let login = match (self.scylla_user, self.scylla_password_file) {
            (Some(user), Some(file)) => Some((user, file)),
            (None, None) => None,
            (Some(_), None) => {
                return conflict(
                    "scylla-user",
                    "has no password; name the file that holds it by --scylla-password-file",
                );
            }
            (None, Some(_)) => {
                return conflict(
                    "scylla-password-file",
                    "is the password of nobody; name the user by --scylla-user",
                );
            }
        };
        if self.scylla_scope == Scope::Local && self.scylla_datacenter.is_none() {
            return conflict(
                "scylla-scope",
                "is local, so every node must mean the same datacenter; name it by --scylla-datacenter",
            );
        }
        Ok(self.scylla.map(|address| ScyllaSettings {
            address,
            login,
            ca: self.scylla_ca,
            scope: self.scylla_scope,
            datacenter: self.scylla_datacenter,
            replication: self.scylla_replication,
            cluster_name: self.cluster_name,
        }))
    }
}

impl ScyllaAddress {
    /// Reads `host:port,host:port/keyspace`; port and keyspace may be left out.
    ///
    /// # Errors
    /// One line that says what to write instead.
    pub fn parse(text: &str) -> Result<ScyllaAddress, String> {
        const FIX: &str = "write host:port,host:port/keyspace";
        let (nodes, keyspace) = text.split_once('/').unwrap_or((text, USUAL_KEYSPACE));
        if !is_keyspace(keyspace) {
            return Err(format!(
                "{keyspace:?} is no keyspace; write 1 to {KEYSPACE_CHARS_MAX} of a-z, 0-9 and _, a letter first"
            ));
        }
        let nodes: Option<Vec<String>> = nodes.split(',').map(node).collect();
        Ok(ScyllaAddress {
            nodes: nodes.ok_or_else(|| String::from(FIX))?,
            keyspace: String::from(keyspace),
        })
    }
}

impl fmt::Display for ScyllaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nodes.join(","), self.keyspace)
    }
}

fn node(text: &str) -> Option<String> {
    let text = text.trim();
    let has_port = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        let is_host = !host.is_empty() && (!host.contains(':') || host.ends_with(']'));
        (is_host && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(())
    };
    if text.is_empty() || text.contains(char::is_whitespace) {
        return None;
    }
    // A colon within an IPv6 address does not begin a port, unless the address is bracketed.
    let is_bare = !text.contains(':') || text.ends_with(']');
    if is_bare {
        return Some(format!("{text}:{USUAL_PORT}"));
    }
    has_port(text).map(|()| String::from(text))
}

fn is_keyspace(text: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.len() <= KEYSPACE_CHARS_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(is_name)
}

fn cluster_name(text: &str) -> Result<String, String> {
    name(text, CLUSTER_CHARS_MAX)
}

fn datacenter(text: &str) -> Result<String, String> {
    name(text, 200)
}

/// A name that needs no quotes in a key of Redis, a CQL literal or a log.
fn name(text: &str, chars_max: usize) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=chars_max).contains(&text.len()) || !text.bytes().all(is_plain) {
        return Err(format!(
            "write 1 to {chars_max} letters, digits, dots, dashes and underscores"
        ));
    }
    Ok(String::from(text))
}

fn replication(text: &str) -> Result<usize, String> {
    flags::count_within(text, 1, 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_nodes_and_a_keyspace() {
        for (text, nodes, keyspace) in [
            ("a:1,b:2/k", &["a:1", "b:2"][..], "k"),
            ("a, b:9/k_1", &["a:9042", "b:9"], "k_1"),
            ("10.0.0.1:9042", &["10.0.0.1:9042"], "mayfly"),
            ("[::1]:9042,[::2]/k", &["[::1]:9042", "[::2]:9042"], "k"),
        ] {
            let address = ScyllaAddress::parse(text).expect("an address");
            assert_eq!(address.nodes, nodes, "{text}");
            assert_eq!(address.keyspace, keyspace, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        for text in ["", "/k", "a,,b", "a:0", "a:x", ":1", "a b", "::1/k"] {
            let reason = ScyllaAddress::parse(text).expect_err("no address");
            assert!(reason.contains("host:port"), "{text}: {reason}");
        }
        for text in ["a/", "a/K", "a/1k", "a/k-k", "a/k/l", "a/k;drop"] {
            let reason = ScyllaAddress::parse(text).expect_err("no keyspace");
            assert!(reason.contains("keyspace"), "{text}: {reason}");
        }
    }
}
