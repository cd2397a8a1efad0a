//! Calls between nodes, whose payloads are bytes: this room knows nothing of messages or shards.
//!
//! Each worker keeps one TCP connection to each peer ([`PeerClient`](client::PeerClient)); each node
//! serves its peers' connections ([`PeerServer`](server::PeerServer)). A connection begins with a
//! [`handshake`] in which both sides prove that they know the cluster's secret; then it carries calls
//! with their answers in any order, notices that want none, and pings. Everything that is queued in
//! one turn leaves in one write, and nothing is spawned or allocated for a single call but its
//! handler's future. What is not bounded by [`limits`] is not there.
//!
//! Whoever calls is told what may have happened ([`error::CallError`]); to try again, and with which
//! op id, is the caller's to decide. Deliberately absent: encryption, and retries.

pub mod client;

pub mod error;

pub mod server;

pub mod handler;

pub mod identity;

pub mod handshake;

pub mod pieces;

pub mod counters;

pub mod limits;

pub mod cut;

mod link;

mod wire;

mod in_flight;

mod connection;

mod incoming;

mod outgoing;

mod frame;

mod proof;

mod backoff;

pub use frame::{OpId, Owner};
pub use link::Target;
pub use wire::Link;
