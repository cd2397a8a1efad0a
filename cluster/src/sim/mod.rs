//! A seeded simulator of whole clusters, which runs the protocol of [`crate::ownership`].
//!
//! Nodes, clients, a store of three replicas and a membership live in one thread under one virtual
//! clock; messages are lost, late, repeated and out of order, nodes pause, crash and have wrong
//! clocks. After every step the history of what clients were told is held against the promise: an
//! acknowledged message is never lost, and is delivered by at most one read. A seed determines the
//! whole run. It deliberately has no sockets, threads or real time.

mod bug;

mod chance;

mod model;

mod history;

mod store;

mod host;

mod exchange;

mod node;

mod calls;

mod outcome;

mod duty;

mod planted;

mod spoiled;

mod world;

mod wires;

mod clients;

mod faults;

mod harm;

mod sleep;

mod verdict;

mod trace;

pub use bug::PlantedBug;
pub use world::{Run, replay, simulate};
