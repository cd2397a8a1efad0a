//! The idempotency keys of one shard: what was done under each within its window.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::key::{KeyClaim, KeyKind};
use crate::domain::time::UnixMs;
use crate::store::journal::Position;

/// Memory of one remembered key, in bytes, for the accounting.
pub const KEY_OVERHEAD_BYTES: u64 = 200;

/// Keys in the order they will be forgotten.
#[derive(Debug, Default)]
pub struct Keys {
    entries: HashMap<[u8; 16], Remembered>,
    of_clients: VecDeque<Age>,
    of_calls: VecDeque<Age>,
}

/// How many keys of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Keys of clients: these are bounded in number.
    pub of_clients: u64,
    /// Ids of forwarded calls.
    pub of_calls: u64,
}

impl Count {
    /// The memory they take, in bytes.
    pub fn bytes(self) -> u64 {
        (self.of_clients + self.of_calls) * KEY_OVERHEAD_BYTES
    }
}

/// What a key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Hash of the request it came with.
    pub body: u64,
    /// When it was used.
    pub at: UnixMs,
    /// Until when it is remembered.
    until: UnixMs,
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
    until: UnixMs,
    hash: [u8; 16],
    position: Position,
}

impl Keys {
    /// What was done under this key, if it is still remembered at `now`.
    pub fn find(&self, key: &KeyClaim, now: UnixMs) -> Option<Remembered> {
        let entry = self.entries.get(&key.hash).copied();
        entry.filter(|entry| entry.until > now)
    }

    /// Remembers what was done at `at`, recorded at or after `position` of the journal.
    pub fn remember(&mut self, key: KeyClaim, at: UnixMs, done: Done, position: Position) {
        let KeyClaim { kind, hash, body } = key;
        let until = at.plus_ms(kind.window_ms());
        self.entries.insert(
            hash,
            Remembered {
                body,
                at,
                until,
                done,
            },
        );
        let order = match kind {
            KeyKind::Client => &mut self.of_clients,
            KeyKind::Call => &mut self.of_calls,
        };
        order.push_back(Age {
            until,
            hash,
            position,
        });
    }

    /// Forgets the keys whose window is over at `now` and tells how many of each kind they were.
    pub fn forget_old(&mut self, now: UnixMs) -> Count {
        let mut forgotten = Count::default();
        for (order, count) in [
            (&mut self.of_clients, &mut forgotten.of_clients),
            (&mut self.of_calls, &mut forgotten.of_calls),
        ] {
            while let Some(age) = order.pop_front_if(|age| age.until <= now) {
                *count += 1;
                if let Entry::Occupied(entry) = self.entries.entry(age.hash)
                    && entry.get().until == age.until
                {
                    entry.remove();
                }
            }
        }
        forgotten
    }

    /// How many keys take memory.
    pub fn count(&self) -> Count {
        Count {
            of_clients: self.of_clients.len() as u64,
            of_calls: self.of_calls.len() as u64,
        }
    }

    /// The oldest place of the journal that a key needs.
    pub fn base(&self) -> Option<Position> {
        let oldest = [self.of_clients.front(), self.of_calls.front()];
        oldest.into_iter().flatten().map(|age| age.position).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::{CALL_WINDOW_MS, KEY_WINDOW_MS};

    #[test]
    fn a_key_is_remembered_for_ten_minutes_to_the_millisecond() {
        let (mut keys, key) = (
            Keys::default(),
            KeyClaim {
                kind: KeyKind::Client,
                hash: [1; 16],
                body: 5,
            },
        );
        keys.remember(key, UnixMs(1_000), Done::Taken(None), Position(3));
        let last = UnixMs(1_000 + KEY_WINDOW_MS - 1);
        assert!(keys.find(&key, last).is_some());
        assert_eq!(keys.forget_old(last), Count::default());
        assert_eq!(keys.base(), Some(Position(3)));
        let over = last.plus_ms(1);
        assert!(keys.find(&key, over).is_none());
        assert_eq!(keys.forget_old(over).of_clients, 1);
        assert_eq!((keys.base(), keys.count()), (None, Count::default()));
    }

    #[test]
    fn a_key_used_again_after_its_window_is_not_forgotten_with_its_first_use() {
        let (mut keys, key) = (
            Keys::default(),
            KeyClaim {
                kind: KeyKind::Client,
                hash: [1; 16],
                body: 5,
            },
        );
        keys.remember(key, UnixMs(0), Done::Taken(None), Position(1));
        keys.remember(key, UnixMs(KEY_WINDOW_MS), Done::Taken(None), Position(2));
        assert_eq!(keys.forget_old(UnixMs(KEY_WINDOW_MS + 1)).of_clients, 1);
        assert!(keys.find(&key, UnixMs(KEY_WINDOW_MS + 1)).is_some());
    }

    #[test]
    fn the_id_of_a_call_is_forgotten_after_a_minute_whatever_keys_came_before() {
        let (mut keys, call) = (Keys::default(), KeyClaim::of_call([2; 16]));
        let key = KeyClaim {
            kind: KeyKind::Client,
            hash: [1; 16],
            body: 5,
        };
        keys.remember(key, UnixMs(0), Done::Taken(None), Position(1));
        keys.remember(call, UnixMs(0), Done::Taken(None), Position(2));
        assert_eq!(
            keys.forget_old(UnixMs(CALL_WINDOW_MS - 1)),
            Count::default()
        );
        assert!(keys.find(&call, UnixMs(CALL_WINDOW_MS - 1)).is_some());
        assert_eq!(keys.forget_old(UnixMs(CALL_WINDOW_MS)).of_calls, 1);
        assert!(keys.find(&call, UnixMs(0)).is_none());
        assert!(keys.find(&key, UnixMs(CALL_WINDOW_MS)).is_some());
        assert_eq!(keys.base(), Some(Position(1)));
    }
}
