//! The idempotency keys of one shard: what was done under each within the last ten minutes.

use std::collections::{HashMap, VecDeque};

use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::key::{KEY_WINDOW_MS, KeyClaim};
use crate::domain::time::UnixMs;
use crate::store::journal::Position;

/// Memory of one remembered key, in bytes, for the accounting.
pub const KEY_OVERHEAD_BYTES: u64 = 200;

/// Keys in the order they will be forgotten.
#[derive(Debug, Default)]
pub struct Keys {
    entries: HashMap<[u8; 16], Remembered>,
    order: VecDeque<Age>,
}

/// What a key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Hash of the request it came with.
    pub body: u64,
    /// When it was used.
    pub at: UnixMs,
    /// What was done.
    pub done: Done,
}

/// The outcome that a repeat is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A message was accepted.
    Posted(MessageId),
    /// A mailbox was read: these messages, or none.
    Taken(Option<TakenRange>),
}

#[derive(Debug)]
struct Age {
    at: UnixMs,
    hash: [u8; 16],
    position: Position,
}

impl Keys {
    /// What was done under this key, if it is still remembered at `now`.
    pub fn find(&self, key: &KeyClaim, now: UnixMs) -> Option<Remembered> {
        self.entries
            .get(&key.hash)
            .copied()
            .filter(|entry| !is_over(entry.at, now))
    }

    /// Remembers what was done at `at`, recorded at or after `position` of the journal.
    pub fn remember(&mut self, key: KeyClaim, at: UnixMs, done: Done, position: Position) {
        self.entries.insert(
            key.hash,
            Remembered {
                body: key.body,
                at,
                done,
            },
        );
        self.order.push_back(Age {
            at,
            hash: key.hash,
            position,
        });
    }

    /// Forgets the keys whose window is over at `now` and tells how many they were.
    pub fn forget_old(&mut self, now: UnixMs) -> u64 {
        let mut forgotten = 0;
        while let Some(age) = self.order.pop_front_if(|age| is_over(age.at, now)) {
            forgotten += 1;
            if self
                .entries
                .get(&age.hash)
                .is_some_and(|entry| entry.at == age.at)
            {
                self.entries.remove(&age.hash);
            }
        }
        forgotten
    }

    /// How many keys take memory.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The oldest place of the journal that a key needs.
    pub fn base(&self) -> Option<Position> {
        self.order.front().map(|age| age.position)
    }
}

fn is_over(at: UnixMs, now: UnixMs) -> bool {
    at.plus_ms(KEY_WINDOW_MS) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_ten_minutes_to_the_millisecond() {
        let (mut keys, key) = (
            Keys::default(),
            KeyClaim {
                hash: [1; 16],
                body: 5,
            },
        );
        keys.remember(key, UnixMs(1_000), Done::Taken(None), Position(3));
        let last = UnixMs(1_000 + KEY_WINDOW_MS - 1);
        assert!(keys.find(&key, last).is_some());
        assert_eq!((keys.forget_old(last), keys.base()), (0, Some(Position(3))));
        let over = last.plus_ms(1);
        assert!(keys.find(&key, over).is_none());
        assert_eq!(
            (keys.forget_old(over), keys.base(), keys.len()),
            (1, None, 0)
        );
    }

    #[test]
    fn a_key_used_again_after_its_window_is_not_forgotten_with_its_first_use() {
        let (mut keys, key) = (
            Keys::default(),
            KeyClaim {
                hash: [1; 16],
                body: 5,
            },
        );
        keys.remember(key, UnixMs(0), Done::Taken(None), Position(1));
        keys.remember(key, UnixMs(KEY_WINDOW_MS), Done::Taken(None), Position(2));
        assert_eq!(keys.forget_old(UnixMs(KEY_WINDOW_MS + 1)), 1);
        assert!(keys.find(&key, UnixMs(KEY_WINDOW_MS + 1)).is_some());
    }
}
