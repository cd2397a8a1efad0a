//! Who a node is to its peers: its cluster, its generation, its address, and the secret they all know.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::member::Generation;

/// The versions of the protocol that this build speaks.
pub const WIRE_VERSIONS: Versions = Versions {
    oldest: 1,
    newest: 1,
};

/// Bytes of a cluster's name.
pub const CLUSTER_BYTES_MAX: usize = 64;

/// Bytes of a node's address.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// A node as it shows itself to its peers.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) cluster: String,
    pub(super) generation: Generation,
    pub(super) address: String,
    pub(super) secret: Secret,
    pub(super) versions: Versions,
}

impl Identity {
    /// The identity of this start of this node. `address` is `host:port`, where peers reach it.
    ///
    /// # Errors
    /// [`IdentityError`] if a name is empty or too long for a handshake.
    pub fn new(
        cluster: &str,
        generation: Generation,
        address: &str,
        secret: Secret,
    ) -> Result<Identity, IdentityError> {
        if cluster.is_empty() || cluster.len() > CLUSTER_BYTES_MAX {
            return Err(IdentityError::Cluster);
        }
        if address.is_empty() || address.len() > ADDRESS_BYTES_MAX {
            return Err(IdentityError::Address);
        }
        Ok(Identity {
            cluster: cluster.to_owned(),
            generation,
            address: address.to_owned(),
            secret,
            versions: WIRE_VERSIONS,
        })
    }

    /// The same node, speaking other versions of the protocol.
    pub fn speaking(self, versions: Versions) -> Identity {
        Identity { versions, ..self }
    }
}

/// Why a node cannot show itself to its peers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No name, or too long.
    #[error("give the cluster a name of 1 to {CLUSTER_BYTES_MAX} bytes")]
    Cluster,
    /// No address, or too long.
    #[error("give the node an address of 1 to {ADDRESS_BYTES_MAX} bytes")]
    Address,
}

/// What all nodes of a cluster know and nobody else; it is proved, never sent, and never printed.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A secret of these bytes; without bytes there is none.
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(bytes.into())
    }

    /// For a cluster whose network nobody else can reach.
    pub fn none() -> Secret {
        Secret(Box::default())
    }

    pub(super) fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_set() { "set" } else { "none" })
    }
}

/// A range of versions of the protocol, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest that is understood.
    pub oldest: u16,
    /// The newest that is understood.
    pub newest: u16,
}

/// The other side of a connection, as it has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which start of which node.
    pub generation: Generation,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// The version of the protocol that both speak.
    pub version: u16,
}
