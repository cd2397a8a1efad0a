//! The service as its clients meet it: the real binary, over HTTP and signals alone.

#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

#[path = "../support/mod.rs"]
mod support;

mod life;

mod keys;

mod bulk;

mod errors;

mod access;

mod malformed;

mod concurrency;

mod metrics;

mod operate;
