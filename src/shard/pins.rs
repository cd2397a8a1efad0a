//! How far back a shard needs the journal: the oldest place that holds a message not yet archived.
//!
//! A message's place is found by its id: the ids that are posted grow in the order of the journal, so
//! each place only remembers the stamp before which it holds none. The few messages that were
//! recorded again are out of that order and remembered one by one.

use std::collections::{HashMap, VecDeque};

use crate::domain::id::{IdStamp, MessageId};
use crate::domain::time::UnixMs;
use crate::store::journal::Position;

/// About how many bytes a record takes besides its text and attributes.
const RECORD_BYTES: u64 = 64;

/// Counts of messages that need the journal, by place, and what the shard has in the journal.
#[derive(Debug, Default)]
pub struct Pins {
    places: VecDeque<Place>,
    /// The greatest stamp that was posted.
    posted: IdStamp,
    /// The places of messages that were recorded again.
    kept: HashMap<MessageId, Position>,
    /// No message that was recorded again has a greater id.
    kept_last: Option<MessageId>,
    recorded_bytes: u64,
    pinned_bytes: u64,
}

#[derive(Debug)]
struct Place {
    position: Position,
    /// When its first message was recorded.
    at: UnixMs,
    /// The ids that were posted here are all behind this one, and those posted before are not.
    after: IdStamp,
    /// What was recorded before, in bytes.
    recorded_bytes: u64,
    messages: u64,
}

/// Where and when something was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// At or after this place.
    pub position: Position,
    /// The time of the event.
    pub at: UnixMs,
}

impl Pins {
    /// Counts a record with this much text and attributes.
    pub fn count(&mut self, content_bytes: usize) {
        self.recorded_bytes += RECORD_BYTES + content_bytes as u64;
    }

    /// The message was posted, the youngest so far.
    pub fn pin(&mut self, id: MessageId, content_bytes: usize, recorded: Recorded) {
        self.add(recorded, content_bytes);
        self.posted = self.posted.max(id.stamp());
    }

    /// The message, which is not pinned, was recorded again.
    pub fn keep(&mut self, id: MessageId, content_bytes: usize, recorded: Recorded) {
        let position = self.add(recorded, content_bytes);
        self.kept.insert(id, position);
        self.kept_last = self.kept_last.max(Some(id));
    }

    /// The message no longer needs the journal.
    pub fn release(&mut self, id: MessageId, content_bytes: usize) {
        let place = self.find(id);
        if self.kept_last >= Some(id) {
            self.kept.remove(&id);
        }
        let place = &mut self.places[place];
        place.messages = place
            .messages
            .checked_sub(1)
            .expect("a message is released once");
        self.pinned_bytes -= RECORD_BYTES + content_bytes as u64;
        while self.places.front().is_some_and(|place| place.messages == 0) {
            self.places.pop_front();
        }
    }

    /// The place of a message that is pinned.
    pub fn position(&self, id: MessageId) -> Position {
        self.places[self.find(id)].position
    }

    /// The oldest place that is needed.
    pub fn base(&self) -> Option<Position> {
        self.places.front().map(|place| place.position)
    }

    /// When the oldest place that is needed was begun.
    pub fn base_at(&self) -> Option<UnixMs> {
        self.places.front().map(|place| place.at)
    }

    /// The first place that was begun after `at`; `end` if there is none.
    pub fn first_after(&self, at: UnixMs, end: Position) -> Position {
        let place = self.places.partition_point(|place| place.at <= at);
        self.places.get(place).map_or(end, |place| place.position)
    }

    /// About what was recorded from the base up to this place, in bytes.
    pub fn bytes_before(&self, position: Position) -> u64 {
        let base = self.places.front().map(|place| place.recorded_bytes);
        let place = self
            .places
            .partition_point(|place| place.position < position);
        let place = self.places.get(place);
        let end = place.map_or(self.recorded_bytes, |place| place.recorded_bytes);
        end - base.unwrap_or(end)
    }

    /// About what the messages that need the journal take in it, in bytes.
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// Counts one more message in its place and tells that.
    fn add(&mut self, recorded: Recorded, content_bytes: usize) -> Position {
        let bytes = RECORD_BYTES + content_bytes as u64;
        let Recorded { position, at } = recorded;
        if self
            .places
            .back()
            .is_none_or(|place| place.position < position)
        {
            self.places.push_back(Place {
                position,
                at,
                after: self.posted,
                recorded_bytes: self.recorded_bytes.saturating_sub(bytes),
                messages: 0,
            });
        }
        self.pinned_bytes += bytes;
        let Some(place) = self.places.back_mut() else {
            return position;
        };
        place.messages += 1;
        place.position
    }

    fn find(&self, id: MessageId) -> usize {
        // What was posted after the last of them is none of them, which is most of what is asked for.
        let kept = self.kept_last.filter(|last| id <= *last);
        let behind = match kept.and_then(|_| self.kept.get(&id)) {
            Some(kept) => self.places.partition_point(|place| place.position <= *kept),
            None => self
                .places
                .partition_point(|place| place.after < id.stamp()),
        };
        behind
            .checked_sub(1)
            .expect("a message is asked for while it is pinned")
    }
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
