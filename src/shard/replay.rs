//! Recovery of one shard: applying its events again, by the functions that applied them first.

use super::index::Place;
use super::keys::Done;
use super::pins::Recorded;
use super::usage::Usage;
use super::value::Shard;
use super::wheel::{LATENESS_MS, Wheel};
use crate::domain::event::{Event, Kept, Posted, Taken};
use crate::domain::message::{Content, Ended, Unread};
use crate::domain::time::UnixMs;
use crate::domain::username::Username;
use crate::store::group::HighWater;
use crate::store::journal::Position;

impl Shard {
    /// Applies an event that was recorded at `at` and found at `position`.
    pub fn replay(&mut self, position: Position, at: UnixMs, event: Event<'_>) {
        if self.at == UnixMs::default() {
            self.wheel = Wheel::new(at);
        }
        self.at = self.at.max(at);
        self.pins.count(event.content_bytes());
        match event {
            Event::Posted(posted) => self.replay_posted(position, at, posted),
            Event::Taken(taken) => self.replay_taken(position, at, taken),
            Event::Advanced => {}
            Event::Archived { through } => self.replay_archived(through),
            Event::Kept(kept) => self.replay_kept(Recorded { position, at }, kept),
        }
    }

    /// Ends the recovery: everything due by the last event is expired, and no clock goes back behind
    /// `high_water`. Counts memory and keys into `usage` and tells how many messages are unread.
    pub fn resume(&mut self, high_water: HighWater, usage: &Usage) -> u64 {
        self.at = self.at.max(high_water.at);
        self.ids.advance_past(high_water.stamp);
        self.expire_through(self.at);
        for (number, ended) in self.endings.numbered() {
            self.index.put(ended.id, Place::Ending(number));
        }
        let (bytes, unread) = self.weigh();
        usage.take_bytes(bytes);
        usage.take_keys(self.keys.count().of_clients);
        unread
    }

    fn replay_posted(&mut self, position: Position, at: UnixMs, posted: Posted<'_>) {
        let Posted {
            username,
            id,
            expires_at,
            text,
            attributes,
            key,
        } = posted;
        let username = Username::from_stored(username);
        self.ids.advance_past(id.stamp());
        if let Some(key) = key {
            self.keys.remember(key, at, Done::Posted(id), position);
        }
        let message = Unread {
            id,
            expires_at,
            content: Content::new(text, attributes),
        };
        let recorded = Recorded { position, at };
        self.pins.pin(id, message.content.bytes(), recorded);
        self.settle_in(username, message, at);
    }

    /// Where it was before may be here too, or be gone from the journal, whatever came between.
    fn replay_kept(&mut self, recorded: Recorded, kept: Kept<'_>) {
        let Kept {
            username,
            id,
            expires_at,
            text,
            attributes,
        } = kept;
        let username = Username::from_stored(username);
        let content = Content::new(text, attributes);
        let mailbox = self.mailboxes.find(&username, username.hash());
        if mailbox.is_some_and(|handle| self.mailboxes.get(handle).find(id).is_some()) {
            self.pins.release(id, content.bytes());
            self.pins.keep(id, content.bytes(), recorded);
            return;
        }
        self.pins.keep(id, content.bytes(), recorded);
        let message = Unread {
            id,
            expires_at,
            content,
        };
        self.settle_in(username, message, recorded.at);
    }

    /// Puts a message into its mailbox, or among the endings when it is due at `at`.
    fn settle_in(&mut self, username: Username, message: Unread, at: UnixMs) {
        if message.is_expired(at) {
            self.end(Ended::expired(message, &username));
            return;
        }
        let hash = username.hash();
        let mailbox = self.mailboxes.find(&username, hash);
        let handle = mailbox.unwrap_or_else(|| self.mailboxes.activate(username, hash));
        self.put(handle, message);
    }

    fn replay_taken(&mut self, position: Position, at: UnixMs, taken: Taken<'_>) {
        let username = Username::from_stored(taken.username);
        if let Some(key) = taken.key {
            self.keys
                .remember(key, at, Done::Taken(taken.range), position);
        }
        // Without a mailbox its messages are in the archive, and the journal let go of their posts.
        let Some(handle) = self.mailboxes.find(&username, username.hash()) else {
            return;
        };
        self.remove_due(handle, at);
        if let Some(range) = taken.range {
            self.remove_taken(handle, range, at, |_| {});
        }
        self.settle(handle);
    }

    fn replay_archived(&mut self, through: UnixMs) {
        self.expire_through(through);
        let (index, pins) = (&mut self.index, &mut self.pins);
        self.endings.retain(|ended| {
            let stays = ended.ended_at > through;
            if !stays {
                index.remove(ended.id);
                pins.release(ended.id, ended.content.bytes());
            }
            stays
        });
    }

    fn expire_through(&mut self, through: UnixMs) {
        while let Some(handle) = self.wheel.pop_due(through.plus_ms(LATENESS_MS)) {
            self.remove_due(handle, through);
            self.settle(handle);
        }
    }

    fn settle(&mut self, handle: u32) {
        if self.mailboxes.get(handle).is_empty() {
            self.passivate(&[handle]);
        } else {
            self.reschedule(handle);
        }
    }
}
