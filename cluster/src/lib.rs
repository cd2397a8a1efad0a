//! Who owns which shard of the username space, and how that is known to be true.
//!
//! This crate knows nothing of messages: a shard is a number, its events are bytes.
#![forbid(unsafe_code)]

pub mod shard;

pub mod member;

pub mod ownership;

pub mod sim;
