//! What happened on the connections, counted for metrics; totals since the start of the process.

use std::sync::atomic::{AtomicU64, Ordering};

/// One total.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The total so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Of the side that connects.
#[derive(Debug, Default)]
pub struct ClientCounters {
    /// Connections made, with their handshakes.
    pub connected: Counter,
    /// Attempts to connect that failed.
    pub failed: Counter,
    /// Connections that ended.
    pub resets: Counter,
    /// Writes to the network; the calls by these are the calls of one write.
    pub writes: Counter,
    /// Calls that were queued.
    pub calls: Counter,
    /// Calls, notices and probes refused because too much was under way.
    pub full: Counter,
    /// Calls of which it is not known whether they were done.
    pub unknown: Counter,
}

/// Of the side that is connected to.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections past their handshake and open now.
    pub open: Counter,
    /// Connections closed at once, as there were too many, and failures to accept one.
    pub turned_away: Counter,
    /// Handshakes refused: another cluster, secret or version.
    pub refused: Counter,
    /// Handshakes that failed otherwise: not in time, or no handshake.
    pub strangers: Counter,
    /// Peers cut off for a frame over the bound or one that made no sense.
    pub garbage: Counter,
    /// Peers cut off for more calls than they were allowed.
    pub too_many_calls: Counter,
    /// Peers cut off for sending a frame or taking their answers too slowly, or for their silence.
    pub slow: Counter,
    /// Writes to the network.
    pub writes: Counter,
    /// Calls and pieces that came.
    pub calls: Counter,
    /// Notices that came.
    pub notices: Counter,
    /// Calls answered with draining by the connection.
    pub draining: Counter,
    /// Calls answered with overload by the connection.
    pub overloaded: Counter,
    /// Calls whose deadline passed before their handler ended.
    pub late: Counter,
}
