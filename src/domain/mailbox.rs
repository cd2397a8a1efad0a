//! The mailbox of one user: the actor's state machine that keeps the promise of one read.
//!
//! It decides (`admit`, `oldest`) and it changes (`accept`, `take`, `expire`), each by itself, so that
//! recovery can make the same changes from events without deciding again. A mailbox without
//! messages is dropped by its shard: it has no state worth keeping.

use super::event::TakenRange;
use super::id::MessageId;
use super::limits::Limits;
use super::message::{Ended, Unread};
use super::queue::Queue;
use super::time::UnixMs;
use super::username::Username;

/// One user's unexpired messages, oldest first.
#[derive(Clone, Debug)]
pub struct Mailbox {
    username: Username,
    unread: Queue,
    /// Bytes of the texts and attributes in `unread`.
    bytes: usize,
    /// At or before the earliest deadline in `unread`.
    next_deadline: UnixMs,
}

/// The mailbox holds as many messages or bytes as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "mailbox is full: at most {messages_max} messages and {bytes_max} bytes wait in it; repeat the post after a read or an expiry"
)]
pub struct MailboxFull {
    /// Most messages in a mailbox.
    pub messages_max: usize,
    /// Most bytes of texts and attributes in a mailbox.
    pub bytes_max: usize,
}

impl MailboxFull {
    /// Whether a message of `more` bytes fits beside `messages` of together `bytes`.
    ///
    /// # Errors
    /// [`MailboxFull`] when it would pass a limit.
    pub fn check(
        messages: usize,
        bytes: usize,
        more: usize,
        limits: &Limits,
    ) -> Result<(), MailboxFull> {
        let (messages_max, bytes_max) = (limits.mailbox_messages_max, limits.mailbox_bytes_max);
        let fits = messages < messages_max && bytes + more <= bytes_max;
        if fits {
            Ok(())
        } else {
            Err(MailboxFull {
                messages_max,
                bytes_max,
            })
        }
    }
}

impl Mailbox {
    /// The empty mailbox of `username`.
    pub fn new(username: Username) -> Mailbox {
        Mailbox {
            username,
            unread: Queue::default(),
            bytes: 0,
            next_deadline: UnixMs(u64::MAX),
        }
    }

    /// Whose mailbox this is.
    pub fn username(&self) -> &Username {
        &self.username
    }

    /// Decides whether one more message of `bytes` fits.
    ///
    /// # Errors
    /// [`MailboxFull`] when it would pass a limit.
    pub fn admit(&self, bytes: usize, limits: &Limits) -> Result<(), MailboxFull> {
        MailboxFull::check(self.unread.len(), self.bytes, bytes, limits)
    }

    /// Adds a message in the order of ids. What is posted is the youngest; what a recovery finds recorded
    /// again may be older than what is there.
    pub fn accept(&mut self, message: Unread) {
        self.bytes += message.content.bytes();
        self.next_deadline = self.next_deadline.min(message.expires_at);
        self.unread.insert(message);
    }

    /// Decides what a read of at most `limit` messages delivers: the oldest ones. The caller has
    /// expired what is due.
    pub fn oldest(&self, limit: usize) -> Option<TakenRange> {
        let count = self.unread.len().min(limit);
        let first = self.unread.get(0)?.id;
        let last = self.unread.get(count.checked_sub(1)?)?.id;
        Some(TakenRange {
            first,
            last,
            count: count as u32,
        })
    }

    /// Removes the messages up to and with the end of `range`, delivered at `at`, oldest first.
    pub fn take(&mut self, range: TakenRange, at: UnixMs, mut ended: impl FnMut(Ended)) {
        while self
            .unread
            .get(0)
            .is_some_and(|message| message.id <= range.last)
        {
            let Some(message) = self.unread.pop() else {
                break;
            };
            self.bytes -= message.content.bytes();
            ended(Ended::read(message, &self.username, at));
        }
    }

    /// Removes every message whose deadline is at or before `now`.
    pub fn expire(&mut self, now: UnixMs, mut ended: impl FnMut(Ended)) {
        if now < self.next_deadline {
            return;
        }
        let (bytes, username) = (&mut self.bytes, &self.username);
        self.unread.remove_if(
            |message| message.is_expired(now),
            |message| {
                *bytes -= message.content.bytes();
                ended(Ended::expired(message, username));
            },
        );
        self.next_deadline = self
            .unread
            .iter()
            .map(|message| message.expires_at)
            .min()
            .unwrap_or(UnixMs(u64::MAX));
    }

    /// A time at or before which nothing expires: when the shell should call `expire` again.
    pub fn next_deadline(&self) -> Option<UnixMs> {
        (!self.is_empty()).then_some(self.next_deadline)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.unread.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.unread.len() == 0
    }

    /// When the oldest waiting message was created.
    pub fn oldest_at(&self) -> Option<UnixMs> {
        self.unread.get(0).map(|message| message.id.created_at())
    }

    /// The waiting message with this id. Ids grow from oldest to youngest, so this halves.
    pub fn find(&self, id: MessageId) -> Option<&Unread> {
        self.unread.find(id)
    }

    /// The waiting messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Unread> {
        self.unread.iter()
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
