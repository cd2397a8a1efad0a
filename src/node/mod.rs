//! A node of a cluster: who owns which shard, calls of shards that others own, and the moves of
//! shards between nodes.
//!
//! `routing` is what a node knows of the owners; `forward` answers a call wherever its shard is, and
//! `serve` answers what others forward. The protocol itself is in crate `cluster`.

pub mod routing;

pub mod wire;

pub mod forward;

pub mod serve;
