//! A node of a cluster: who owns which shard, calls of shards that others own, and the moves of
//! shards between nodes.
//!
//! `routing` is what a node knows of the owners, and `detours` of whom it does not reach; `forward`
//! answers a call wherever its shard is, and `serve` answers what others forward. `control` is what the
//! node knows, `choice` says what to do with one shard, `place` does it once in a while for all of them,
//! and `holdings` claims them, hands them over and loses them. `watch` looks after the peers. All but
//! `forward` runs on one thread, started by `start`. The protocol itself is in crate `cluster`.

pub mod routing;

pub mod detours;

pub mod forward;

pub mod wire;

mod wire_shapes;

pub mod request;

pub mod parcel;

mod serve;

mod holdings;

mod hand_over;

mod peers;

mod watch;

mod known;

mod drainers;

mod control;

mod owners;

mod unserved;

mod choice;

mod place;

mod run;

pub mod view;

pub mod start;
