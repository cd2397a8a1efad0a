//! How much memory messages and keys take, and the bounds they stay within.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Memory of one message besides its text and attributes, in bytes: its place in the mailbox, in the
/// index, in the wheel and in the allocator.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 150;

/// Totals of this process with their bounds.
#[derive(Debug)]
pub struct Usage {
    bytes: AtomicU64,
    bytes_max: u64,
    keys: AtomicU64,
    keys_max: u64,
}

impl Usage {
    /// Nothing used.
    pub fn new(bytes_max: u64, keys_max: u64) -> Usage {
        Usage {
            bytes: AtomicU64::new(0),
            bytes_max,
            keys: AtomicU64::new(0),
            keys_max,
        }
    }

    /// Whether so many more bytes stay within the bound.
    pub fn has_bytes(&self, more: u64) -> bool {
        self.bytes.load(Relaxed) + more <= self.bytes_max
    }

    /// Whether less than half of the bytes that may be used are.
    pub fn is_below_half(&self) -> bool {
        self.bytes.load(Relaxed) < self.bytes_max / 2
    }

    /// Whether one more key stays within the bound.
    pub fn has_key(&self) -> bool {
        self.keys.load(Relaxed) < self.keys_max
    }

    /// Counts bytes in.
    pub fn take_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes out.
    pub fn free_bytes(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Counts keys in.
    pub fn take_keys(&self, keys: u64) {
        self.keys.fetch_add(keys, Relaxed);
    }

    /// Counts keys out.
    pub fn free_keys(&self, keys: u64) {
        self.keys.fetch_sub(keys, Relaxed);
    }

    /// Bytes and keys in use.
    pub fn now(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.keys.load(Relaxed))
    }
}
