//! Who owns which shard of the username space, and how that is known to be true.
//!
//! This crate knows nothing of messages: a shard is a number, its events are bytes.
#![forbid(unsafe_code)]

pub mod shard;

pub mod member;

mod ring;

pub mod placement;

pub mod registry;

pub mod membership;

pub mod failure;

pub mod clocks;

pub mod ownership;

pub mod peer;

pub mod sim;
