//! The protocol that keeps a shard's owner alone: pure decisions, no IO, no clock, no chance.
//!
//! A [`tenure::Tenure`] is one node's hold on one shard, from its claim to its end; it says which IO
//! to do and is told what became of it. A [`gate::Gate`] is what every answer of a node passes.

pub mod claim;

mod change;

pub mod recovery;

pub mod tenure;

mod claiming;

mod serving;

pub mod gate;

pub mod time;
