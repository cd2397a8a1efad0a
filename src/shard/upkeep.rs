//! What a shard does on its own: expiring by the wheel, handing endings to the archive, forgetting
//! keys, and saying how far back it needs the journal.

use std::sync::Arc;

use super::index::Place;
use super::mailboxes::MAILBOX_OVERHEAD_BYTES;
use super::turn::Turn;
use super::usage::Usage;
use super::value::{Shard, message_bytes};
use crate::domain::event::Event;
use crate::domain::message::Ended;
use crate::domain::time::UnixMs;
use crate::store::journal::Position;

/// So many mailboxes are looked at together when they are due.
const DUE_TOGETHER: usize = 32;

impl Shard {
    /// Expires what is due in one mailbox and tells whether anything was.
    pub(super) fn expire(&mut self, handle: u32, turn: &mut Turn<'_>) -> bool {
        let deadline = self.mailboxes.get(handle).next_deadline();
        let now = self.now(turn);
        deadline.is_some_and(|deadline| deadline <= now) && self.expire_in(&[handle], turn) > 0
    }

    /// Expires what the wheel says is due, about `messages_max` messages at most; tells how many
    /// there were.
    pub fn expire_due(&mut self, turn: &mut Turn<'_>, messages_max: u64) -> u64 {
        let (now, mut expired) = (self.now(turn), 0);
        let mut due = [0; DUE_TOGETHER];
        while expired < messages_max {
            let (mut count, mut messages) = (0, expired);
            while count < DUE_TOGETHER
                && messages < messages_max
                && let Some(handle) = self.wheel.pop_due(now)
            {
                due[count] = handle;
                count += 1;
                messages += self.mailboxes.get(handle).len() as u64;
            }
            if count == 0 {
                break;
            }
            expired += self.expire_in(&due[..count], turn);
        }
        expired
    }

    /// Expires what is due in these mailboxes and tells how many messages that were. Each step goes over
    /// all of them, so that the processor waits for many cache misses at once.
    fn expire_in(&mut self, handles: &[u32], turn: &mut Turn<'_>) -> u64 {
        let now = self.now(turn);
        let expired = handles.iter().map(|handle| self.remove_due(*handle, now));
        let expired = expired.sum();
        // An event at this time says already that what is due by it is expired.
        if expired > 0 && self.at < now {
            self.record(turn, &Event::Advanced);
        }
        turn.tally.expired += expired;
        turn.tally.unread -= expired as i64;
        let (mut empty, mut count) = ([0; DUE_TOGETHER], 0);
        for handle in handles {
            if self.mailboxes.get(*handle).is_empty() {
                empty[count] = *handle;
                count += 1;
            } else {
                self.reschedule(*handle);
            }
        }
        self.passivate(&empty[..count]);
        turn.usage.free_bytes(MAILBOX_OVERHEAD_BYTES * count as u64);
        expired
    }

    /// When `expire_due` should be called next.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.wheel.next_due()
    }

    /// The endings that wait for the archive, to be handed over when `last_batch` is durable; the same
    /// ones again until they are [`Shard::archived`].
    pub fn flush(&mut self, now: UnixMs) -> Option<Arc<Vec<Ended>>> {
        // What is due later than the wheel handed out may not have ended yet, and what ends from now on is
        // not among them: after a recovery the wheel may stand ahead of the shard's time.
        let next = self.wheel.drained_through().min(now.max(self.at));
        let through = UnixMs(next.0.saturating_sub(1));
        self.endings.hand_over(through)
    }

    /// Lets go of the endings that were handed over: the archive holds them.
    pub fn archived(&mut self, turn: &mut Turn<'_>) {
        let (archived, through) = self.endings.let_go();
        let mut bytes = 0;
        for ended in archived.iter() {
            self.index.remove(ended.id);
            self.pins.release(ended.id, ended.content.bytes());
            bytes += message_bytes(&ended.content);
        }
        turn.usage.free_bytes(bytes);
        self.record(turn, &Event::Archived { through });
    }

    /// Gives back the memory and keys that the shard counts, as it leaves this process, and tells how
    /// many messages are unread in it.
    pub fn retire(&self, usage: &Usage) -> u64 {
        let (bytes, unread) = self.weigh();
        usage.free_bytes(bytes);
        usage.free_keys(self.keys.count().of_clients);
        unread
    }

    /// Forgets idempotency keys whose window is over.
    pub fn forget_keys(&mut self, now: UnixMs, usage: &Usage) {
        let forgotten = self.keys.forget_old(now);
        usage.free_keys(forgotten.of_clients);
        usage.free_bytes(forgotten.bytes());
    }

    /// The oldest place of the journal that this shard needs; `None` when it needs nothing.
    pub fn base(&self) -> Option<Position> {
        [self.pins.base(), self.keys.base()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Moves what is due from the mailbox to the endings and tells how many messages that were.
    pub(super) fn remove_due(&mut self, handle: u32, now: UnixMs) -> u64 {
        let (endings, index, mut expired) = (&mut self.endings, &mut self.index, 0);
        self.mailboxes.get_mut(handle).expire(now, |ended| {
            let id = ended.id;
            index.put(id, Place::Ending(endings.push(ended)));
            expired += 1;
        });
        expired
    }

    /// Drops the mailbox when nothing waits in it, and tells whether it did.
    pub(super) fn passivate_if_empty(&mut self, handle: u32, turn: &Turn<'_>) -> bool {
        let is_empty = self.mailboxes.get(handle).is_empty();
        if is_empty {
            self.passivate(&[handle]);
            turn.usage.free_bytes(MAILBOX_OVERHEAD_BYTES);
        }
        is_empty
    }

    /// The memory of everything in the shard, in bytes, and how many messages are unread.
    pub(super) fn weigh(&self) -> (u64, u64) {
        let mut bytes = self.mailboxes.len() as u64 * MAILBOX_OVERHEAD_BYTES;
        let mut unread = 0;
        for (_, mailbox) in self.mailboxes.iter() {
            unread += mailbox.len() as u64;
            let messages = mailbox.iter();
            bytes += messages.map(|m| message_bytes(&m.content)).sum::<u64>();
        }
        let endings = self.endings.iter();
        bytes += endings.map(|e| message_bytes(&e.content)).sum::<u64>();
        (bytes + self.keys.count().bytes(), unread)
    }

    pub(super) fn passivate(&mut self, handles: &[u32]) {
        for handle in handles {
            self.wheel.cancel(*handle);
        }
        self.mailboxes.passivate(handles);
    }

    pub(super) fn reschedule(&mut self, handle: u32) {
        if let Some(deadline) = self.mailboxes.get(handle).next_deadline() {
            self.wheel.schedule(handle, deadline);
        }
    }
}
