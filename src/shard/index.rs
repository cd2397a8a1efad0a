//! Where each message of a shard is: in a mailbox, or among the endings that wait for the archive.
//!
//! A shard's ids grow, so the index is a queue: a new id goes to its end, ids of one moment, which mostly
//! end at one moment too, lie side by side in the processor's cache, and where an id is follows about from
//! its time. Twelve bytes an entry: the stamp, which is unique in a shard, and the place, where the whole
//! id is compared.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::id::MessageId;

/// Ids with their places.
#[derive(Debug, Default)]
pub struct Index {
    /// In the order of stamps; a forgotten one stays until it is at an end, or one of too many.
    entries: VecDeque<Entry>,
    forgotten: usize,
    /// About which entry was given another place last: what ends together is mostly near.
    changed: usize,
    /// Those that came when a greater one was there: of messages that were recorded again, in a recovery.
    late: BTreeMap<u64, u32>,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the mailbox with this handle (31 bits, and not all of them set).
    Mailbox(u32),
    /// Among the endings, with this number (31 bits, counted around).
    Ending(u32),
}

const ENDING_BIT: u32 = 1 << 31;

/// The place of what is forgotten: no memory holds so many mailboxes.
const NOWHERE: u32 = ENDING_BIT - 1;

/// Entries before and behind one that are near it.
const NEAR: usize = 16;

/// So many forgotten ones are never too many.
const FORGOTTEN_MIN: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Entry {
    stamp: [u32; 2],
    place: u32,
}

impl Entry {
    fn new(stamp: u64, place: u32) -> Entry {
        Entry {
            stamp: [(stamp >> 32) as u32, stamp as u32],
            place,
        }
    }

    fn stamp(&self) -> u64 {
        u64::from(self.stamp[0]) << 32 | u64::from(self.stamp[1])
    }
}

impl Index {
    /// Sets where the message is.
    pub fn put(&mut self, id: MessageId, place: Place) {
        let (stamp, place) = (id.stamp().number(), packed(place));
        if let Some(known) = self.late.get_mut(&stamp) {
            *known = place;
            return;
        }
        if self.entries.back().is_none_or(|last| last.stamp() < stamp) {
            return self.entries.push_back(Entry::new(stamp, place));
        }
        let Some(entry) = self.entry(stamp) else {
            self.late.insert(stamp, place);
            return;
        };
        self.changed = entry;
        let before = std::mem::replace(&mut self.entries[entry].place, place);
        self.forgotten -= usize::from(before == NOWHERE);
    }

    /// Where a message with this stamp is.
    pub fn find(&self, id: MessageId) -> Option<Place> {
        let stamp = id.stamp().number();
        let place = match self.entry(stamp) {
            Some(entry) => self.entries[entry].place,
            None => *self.late.get(&stamp)?,
        };
        (place != NOWHERE).then_some(if place & ENDING_BIT == 0 {
            Place::Mailbox(place)
        } else {
            Place::Ending(place & !ENDING_BIT)
        })
    }

    /// Forgets the message.
    pub fn remove(&mut self, id: MessageId) {
        let stamp = id.stamp().number();
        let Some(entry) = self.entry(stamp) else {
            self.late.remove(&stamp);
            return;
        };
        let before = std::mem::replace(&mut self.entries[entry].place, NOWHERE);
        self.forgotten += usize::from(before != NOWHERE);
        while self
            .entries
            .pop_front_if(|entry| entry.place == NOWHERE)
            .is_some()
        {
            self.forgotten -= 1;
            self.changed = self.changed.saturating_sub(1);
        }
        let known = self.entries.len() - self.forgotten;
        if self.forgotten > known + FORGOTTEN_MIN {
            self.entries.retain(|entry| entry.place != NOWHERE);
            self.forgotten = 0;
        }
        if self.entries.capacity() > 4 * self.entries.len() + FORGOTTEN_MIN {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// The entry with this stamp.
    fn entry(&self, stamp: u64) -> Option<usize> {
        let count = self.entries.len();
        let is_before = |entry: usize| self.entries[entry].stamp() < stamp;
        // All before `low` are before it, and none from `high` on is.
        let (mut low, mut high) = (0, count);
        let (mut next, mut step) = (self.guess(stamp)?, 1);
        while low < high {
            next = next.clamp(low, high - 1);
            if is_before(next) {
                low = next + 1;
                next = if high == count {
                    next + step
                } else {
                    low + (high - low) / 2
                };
            } else {
                high = next;
                next = if low == 0 {
                    next.saturating_sub(step)
                } else {
                    low + (high - low) / 2
                };
            }
            step *= 2;
        }
        (low < count && self.entries[low].stamp() == stamp).then_some(low)
    }

    /// From where to look for a stamp: from the last change, if it is near that, else from where it would be
    /// if messages came evenly. `None` when all are before it, or behind it.
    fn guess(&self, stamp: u64) -> Option<usize> {
        let is_at_or_before = |entry: &Entry| entry.stamp() <= stamp;
        let near = self.changed.saturating_sub(NEAR)..=self.changed + NEAR;
        if self.entries.get(*near.start()).is_some_and(is_at_or_before)
            && self
                .entries
                .get(*near.end())
                .is_some_and(|entry| !is_at_or_before(entry))
        {
            return Some(self.changed);
        }
        let (first, last) = (self.entries.front()?.stamp(), self.entries.back()?.stamp());
        if stamp < first || stamp > last {
            return None;
        }
        let share = (stamp - first) as f64 / (last - first + 1) as f64;
        Some((share * self.entries.len() as f64) as usize)
    }
}

fn packed(place: Place) -> u32 {
    match place {
        Place::Mailbox(handle) => {
            debug_assert!(handle < NOWHERE);
            handle
        }
        Place::Ending(number) => number | ENDING_BIT,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::id::IdStamp;
    use crate::domain::time::UnixMs;
    use crate::domain::username::Route;

    fn id(number: u64) -> MessageId {
        let stamp = IdStamp {
            ms: UnixMs(number / 3),
            counter: (number % 3) as u16,
        };
        MessageId::new(stamp, Route(7), number)
    }

    #[test]
    fn what_is_forgotten_costs_no_memory_for_long() {
        let mut index = Index::default();
        for number in 0..100_000 {
            index.put(id(number), Place::Mailbox(number as u32));
        }
        // Every hundredth lives on.
        for number in (0..100_000).filter(|number| number % 100 != 0) {
            index.remove(id(number));
        }
        assert!(
            index.entries.capacity() < 10_000,
            "{}",
            index.entries.capacity()
        );
        for number in 0..100_000 {
            let place = (number % 100 == 0).then_some(Place::Mailbox(number as u32));
            assert_eq!(index.find(id(number)), place, "{number}");
        }
    }

    proptest! {
        #[test]
        fn the_index_tells_what_a_map_would(
            steps in proptest::collection::vec((0..5u8, 0..400u64, any::<bool>()), 1..600)
        ) {
            let (mut index, mut model) = (Index::default(), HashMap::new());
            let mut next = 0;
            for (kind, number, is_ending) in steps {
                let place = if is_ending { Place::Ending(number as u32) } else { Place::Mailbox(number as u32) };
                match kind {
                    // Mostly the next one, at times after a while.
                    0 | 1 => {
                        next += if number % 50 == 0 { number * number } else { 1 + number % 7 };
                        index.put(id(next), place);
                        model.insert(next, place);
                    }
                    // One that is before others, mostly.
                    2 => {
                        index.put(id(number), place);
                        model.insert(number, place);
                        next = next.max(number);
                    }
                    3 => {
                        index.remove(id(number));
                        model.remove(&number);
                    }
                    // A moment ends, but for some.
                    _ => for number in (next.saturating_sub(number)..next).filter(|it| it % 10 != 0) {
                        index.remove(id(number));
                        model.remove(&number);
                    },
                }
                for number in [number, next, next / 2] {
                    prop_assert_eq!(index.find(id(number)), model.get(&number).copied());
                }
            }
            for (number, place) in &model {
                prop_assert_eq!(index.find(id(*number)), Some(*place));
            }
            let known = index.entries.iter().filter(|entry| entry.place != NOWHERE).count();
            prop_assert_eq!(known + index.late.len(), model.len());
            prop_assert_eq!(known + index.forgotten, index.entries.len());
        }
    }
}
