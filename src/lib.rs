//! Mayfly: messages that are delivered by at most one read, or expire.
//!
//! Read `service` first: it holds the use cases. A request flows from `http` to `service`, on to the
//! shard that owns the username (`shard`), which lets the mailbox (`domain`) decide; the decision is
//! an event, made durable by the journal (`store`) before the answer leaves. `app` puts the parts
//! together and runs them.

pub mod service;

pub mod domain;

pub mod shard;

pub mod node;

pub mod store;

pub mod http;

pub mod app;

pub mod cli;
pub mod config;

pub mod metrics;

pub mod telemetry;
