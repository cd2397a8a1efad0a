//! A cluster of real processes, with a `redis-server` and a CQL server, under load and under everything
//! that may befall them. What clients saw is recorded, and judged by the checker of `mayfly verify`.
//!
//! The scenarios run one at a time: three nodes and their load take all of a small machine.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../servers/hang.rs"]
mod hang;

#[path = "../servers/redis.rs"]
#[allow(dead_code, reason = "this target uses a part of it")]
mod redis;

#[path = "../stores/cql_server.rs"]
#[allow(dead_code, reason = "this target uses a part of it")]
mod cql_server;

mod failpoint;

mod cluster;

mod node;

mod load;

mod read_once;

mod crashes;

mod planned;

mod dependencies;

mod replicas;

mod refusals;

mod races;

mod chaos;
