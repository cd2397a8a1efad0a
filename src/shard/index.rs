//! Where each message of a shard is: in a mailbox, or among the endings that wait for the archive.
//!
//! Twelve bytes an entry: the lower half of the id, which 50 random bits make unique enough to find
//! the place, where the whole id is compared.

use hashbrown::HashTable;

use super::spread::Spread;
use crate::domain::id::MessageId;

/// Ids with their places.
#[derive(Debug)]
pub struct Index {
    table: HashTable<Entry>,
    spread: Spread,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the mailbox with this handle.
    Mailbox(u32),
    /// Among the endings, with this number (31 bits, counted around).
    Ending(u32),
}

const ENDING_BIT: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Entry {
    low: [u32; 2],
    place: u32,
}

impl Entry {
    fn new(id: MessageId, place: Place) -> Entry {
        let place = match place {
            Place::Mailbox(handle) => handle & !ENDING_BIT,
            Place::Ending(number) => number | ENDING_BIT,
        };
        Entry {
            low: halves(id),
            place,
        }
    }

    fn low(&self) -> u64 {
        u64::from(self.low[0]) << 32 | u64::from(self.low[1])
    }
}

impl Index {
    /// An empty index.
    pub fn new(spread: Spread) -> Index {
        Index {
            table: HashTable::new(),
            spread,
        }
    }

    /// Sets where the message is.
    pub fn put(&mut self, id: MessageId, place: Place) {
        let (low, spread) = (halves(id), self.spread);
        self.table
            .entry(
                spread.of(id.low()),
                |entry| entry.low == low,
                |entry| spread.of(entry.low()),
            )
            .insert(Entry::new(id, place));
    }

    /// Where a message with this lower half of an id is.
    pub fn find(&self, id: MessageId) -> Option<Place> {
        let low = halves(id);
        let entry = self
            .table
            .find(self.spread.of(id.low()), |entry| entry.low == low)?;
        let place = entry.place & !ENDING_BIT;
        Some(if entry.place & ENDING_BIT == 0 {
            Place::Mailbox(place)
        } else {
            Place::Ending(place)
        })
    }

    /// Forgets the message.
    pub fn remove(&mut self, id: MessageId) {
        let low = halves(id);
        if let Ok(entry) = self
            .table
            .find_entry(self.spread.of(id.low()), |entry| entry.low == low)
        {
            entry.remove();
        }
    }
}

fn halves(id: MessageId) -> [u32; 2] {
    [(id.low() >> 32) as u32, id.low() as u32]
}
