//! The protocol that keeps a shard's owner alone: pure decisions, no IO, no clock.

pub mod claim;
