//! The pure core: what a message is and when it may be read.
//!
//! Nothing here does IO, reads a clock, draws a random number, logs or counts: time and randomness
//! are arguments, deadlines and events are return values. The shell (`shard`) does the rest.

pub mod time;

pub mod username;

pub mod id;

pub mod message;

pub mod limits;

pub mod mailbox;

pub mod event;

pub mod key;

mod queue;
