//! Recording old messages again, so that one of them does not keep everything that was recorded since.
//!
//! Most messages end before they are old and are never recorded twice. A key needs the journal for
//! ten minutes and an ending for seconds: these are left to pass.

use std::cmp::Reverse;

use super::index::Place;
use super::turn::Turn;
use super::value::Shard;
use crate::domain::event::{Event, Kept};
use crate::domain::id::MessageId;
use crate::domain::message::{Attributes, Unread};
use crate::domain::time::UnixMs;
use crate::domain::username::Username;
use crate::store::journal::Position;

/// What was recorded later than this long ago is not recorded again.
const YOUNG_MS: u64 = 2 * 60 * 1_000;

/// The oldest message is recorded again when it was recorded this long ago.
const OLD_MS: u64 = 24 * 60 * 60 * 1_000;

/// Bytes that a shard's journal may hold beyond twice what is needed of it.
const SPARE_BYTES: u64 = 4 * 1024 * 1024;

/// The same for a journal that all shards share, in places.
const SPARE_PLACES: u64 = 4;

/// Bytes that one turn records again before it lets commands through.
const RENEWED_PER_TURN_BYTES: usize = 256 * 1024;

/// Where a shard is with recording its old messages again.
#[derive(Debug, Default)]
pub struct Renewal {
    /// Who waits for it, the oldest last.
    waiting: Vec<MessageId>,
    /// The messages that were recorded before this place had their turn.
    through: Position,
    /// The last batch that holds a message again.
    last_batch: u64,
}

/// What a shard has to know of a journal whose places are the same for all shards.
#[derive(Clone, Copy, Debug)]
pub struct SharedJournal {
    /// From one place to the next.
    pub place_bytes: u64,
    /// What all shards together hold.
    pub live_bytes: u64,
}

impl Shard {
    /// Whether `renew` has something to do, with the journal at `end`: `shared` tells of it if each
    /// place is the same for all shards.
    pub fn is_renewing(
        &mut self,
        now: UnixMs,
        end: Position,
        shared: Option<SharedJournal>,
    ) -> bool {
        if self.renewal.waiting.is_empty()
            && let Some(through) = self.renewal_due(now, end, shared)
        {
            self.renewal.through = through;
            self.renewal.waiting = self.unread_before(through);
        }
        !self.renewal.waiting.is_empty()
    }

    /// Records some of the waiting messages again. What ended meanwhile is skipped, and so is what is
    /// due, which only was not seen yet.
    pub fn renew(&mut self, turn: &mut Turn<'_>) {
        let (now, start) = (self.now(turn), turn.group.bytes().len());
        while turn.group.bytes().len() - start < RENEWED_PER_TURN_BYTES
            && let Some(id) = self.renewal.waiting.pop()
        {
            if let Some((username, message)) = self.unread(id)
                && !message.is_expired(now)
            {
                self.keep(&username, &message, turn);
            }
        }
    }

    /// Whether all that was recorded again is durable once `committed` is: only then the journal may let
    /// go of where it was before.
    pub fn is_renewal_durable(&self, committed: u64) -> bool {
        self.renewal.last_batch <= committed
    }

    /// The unread message with this id and whose it is.
    fn unread(&self, id: MessageId) -> Option<(Username, Unread)> {
        let Some(Place::Mailbox(handle)) = self.index.find(id) else {
            return None;
        };
        let mailbox = self.mailboxes.get(handle);
        let message = mailbox.find(id)?.clone();
        Some((mailbox.username().clone(), message))
    }

    /// The place before which messages should be recorded again, if any should.
    fn renewal_due(
        &self,
        now: UnixMs,
        end: Position,
        shared: Option<SharedJournal>,
    ) -> Option<Position> {
        let (base, since) = (self.pins.base()?, self.pins.base_at()?);
        let young_after = UnixMs(now.0.saturating_sub(YOUNG_MS));
        let through = self.pins.first_after(young_after, end);
        // Before the last renewal's place there may be endings, which are on their way.
        if base < self.renewal.through || base >= through {
            return None;
        }
        let has_grown = match shared {
            Some(SharedJournal {
                place_bytes,
                live_bytes,
            }) => (through.0 - base.0) * place_bytes > live_bytes + SPARE_PLACES * place_bytes,
            None => self.pins.bytes_before(through) > self.pins.pinned_bytes() + SPARE_BYTES,
        };
        (has_grown || now.ms_since(since) >= OLD_MS).then_some(through)
    }

    /// The unread messages that were recorded before this place, the oldest last.
    fn unread_before(&self, through: Position) -> Vec<MessageId> {
        let mailboxes = self
            .mailboxes
            .iter()
            .flat_map(|(_, mailbox)| mailbox.iter());
        let mut ids: Vec<_> = mailboxes
            .map(|message| message.id)
            .filter(|id| self.pins.position(*id) < through)
            .collect();
        ids.sort_unstable_by_key(|id| Reverse(id.stamp()));
        ids
    }

    fn keep(&mut self, username: &Username, message: &Unread, turn: &mut Turn<'_>) {
        let (id, content) = (message.id, &message.content);
        let event = Event::Kept(Kept {
            username: username.as_str(),
            id,
            expires_at: message.expires_at,
            text: content.text(),
            attributes: Attributes(content.attributes().to_vec()),
        });
        self.record(turn, &event);
        self.renewal.last_batch = turn.batch;
        let recorded = self.recorded(turn);
        self.pins.release(id, content.bytes());
        self.pins.keep(id, content.bytes(), recorded);
    }
}
