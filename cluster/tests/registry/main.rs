//! The registry: one contract for every implementation, and what only Redis can do to it.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

mod contract;

mod memory;

mod redis;

#[path = "../../../tests/servers/hang.rs"]
mod hang;

#[path = "../../../tests/servers/redis.rs"]
mod redis_server;

mod sample;
