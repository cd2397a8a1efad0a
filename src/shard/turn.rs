//! What a shard is given for one turn: the time, a group to write events into, and the totals.

use super::usage::Usage;
use crate::domain::limits::Limits;
use crate::domain::time::UnixMs;
use crate::store::group::Group;
use crate::store::journal::Position;

/// The surroundings of one command.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The process's time.
    pub now: UnixMs,
    /// A fresh random number.
    pub random: u64,
    /// The bounds of messages and mailboxes.
    pub limits: &'a Limits,
    /// The memory and keys in use.
    pub usage: &'a Usage,
    /// Where events are written.
    pub group: &'a mut Group,
    /// The number of the batch that `group` belongs to.
    pub batch: u64,
    /// The place of the journal at or after which `group` will be.
    pub position: Position,
    /// What happened in this batch.
    pub tally: &'a mut Tally,
}

/// What happened to messages, counted when it may be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages accepted.
    pub posted: u64,
    /// Messages delivered by a read.
    pub delivered: u64,
    /// Messages whose deadline passed.
    pub expired: u64,
    /// Change of the number that waits in mailboxes.
    pub unread: i64,
}

impl Tally {
    /// Adds what another counted.
    pub fn add(&mut self, other: Tally) {
        self.posted += other.posted;
        self.delivered += other.delivered;
        self.expired += other.expired;
        self.unread += other.unread;
    }
}
