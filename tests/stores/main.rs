//! The stores: one contract for every implementation, and what only one family promises.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

mod contract;

mod local;

mod scylla;

mod scylla_tables;

mod scylla_owners;

#[path = "../servers/hang.rs"]
mod hang;

#[allow(dead_code, reason = "this target uses a part of it")]
mod cql_server;

mod sample;

mod damage;

mod faults;

mod fixture;

mod support;
