//! How far back a shard needs the journal: the oldest place that holds a message not yet archived.
//!
//! A message's place is found by its id: ids of a shard grow in the order of the journal, so each
//! place only remembers the first id stamp it holds.

use std::collections::VecDeque;

use crate::domain::id::{IdStamp, MessageId};
use crate::store::journal::Position;

/// Counts of messages that need the journal, by place.
#[derive(Debug, Default)]
pub struct Pins {
    places: VecDeque<Place>,
}

#[derive(Debug)]
struct Place {
    position: Position,
    first: IdStamp,
    messages: u64,
}

impl Pins {
    /// The message was posted at or after `position`.
    pub fn pin(&mut self, position: Position, id: MessageId) {
        if self
            .places
            .back()
            .is_none_or(|place| place.position < position)
        {
            self.places.push_back(Place {
                position,
                first: id.stamp(),
                messages: 0,
            });
        }
        if let Some(place) = self.places.back_mut() {
            place.messages += 1;
        }
    }

    /// The message no longer needs the journal.
    pub fn release(&mut self, id: MessageId) {
        let behind = self
            .places
            .partition_point(|place| place.first <= id.stamp());
        let place = behind
            .checked_sub(1)
            .and_then(|index| self.places.get_mut(index));
        let place = place.expect("a message is released once, after it was pinned");
        place.messages = place
            .messages
            .checked_sub(1)
            .expect("a message is released once");
        while self.places.front().is_some_and(|place| place.messages == 0) {
            self.places.pop_front();
        }
    }

    /// The oldest place that is needed.
    pub fn base(&self) -> Option<Position> {
        self.places.front().map(|place| place.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMs;
    use crate::domain::username::Route;

    fn id(ms: u64) -> MessageId {
        MessageId::new(
            IdStamp {
                ms: UnixMs(ms),
                counter: 0,
            },
            Route(0),
            0,
        )
    }

    #[test]
    fn the_base_is_the_oldest_place_with_a_message_left() {
        let mut pins = Pins::default();
        for (position, ms) in [(1, 10), (1, 11), (4, 12), (5, 13)] {
            pins.pin(Position(position), id(ms));
        }
        for (released, base) in [(12, Some(1)), (10, Some(1)), (11, Some(5)), (13, None)] {
            pins.release(id(released));
            assert_eq!(pins.base(), base.map(Position), "after {released}");
        }
    }
}
