//! Rows that were looked up lately, in bounded memory: a row never changes, so they stay true.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::id::MessageId;
use crate::domain::message::Ended;

/// Bytes of a kept row besides its texts: the row, its allocations, and its places in the cache.
const ROW_BYTES: u64 = 320;

/// A row with texts of this length is what the cache expects.
const TEXTS_BYTES: u64 = 128;

/// Rows by id.
pub(super) struct RecentRows {
    rows: Cache<MessageId, Ended, Bytes>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<MessageId, Ended> for Bytes {
    fn weight(&self, _: &MessageId, ended: &Ended) -> u64 {
        ROW_BYTES + (ended.username.as_str().len() + ended.content.bytes()) as u64
    }
}

impl RecentRows {
    /// None yet; `bytes_max` for all of them.
    pub(super) fn new(bytes_max: u64) -> RecentRows {
        let rows = bytes_max / (ROW_BYTES + TEXTS_BYTES);
        RecentRows {
            rows: Cache::with_weighter(rows as usize, bytes_max, Bytes),
        }
    }

    /// The row of a message, if it is here.
    pub(super) fn get(&self, id: MessageId) -> Option<Ended> {
        self.rows.get(&id)
    }

    /// Keeps a row, and lets go of others.
    pub(super) fn put(&self, ended: &Ended) {
        self.rows.insert(ended.id, ended.clone());
    }
}
