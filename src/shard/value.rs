//! A shard: the mailboxes of one slice of usernames, and the four things that can be asked of it.
//!
//! A plain value without IO: what it decides it writes into the group of its turn, and the host lets
//! nobody know before that group is durable. Each decision is an event, and `replay` applies the
//! same events by the same functions.

use super::call::{Accepted, Count, Delivered, Delivery, Found, Post, ReadPlace, Refusal, Take};
use super::endings::Endings;
use super::index::{Index, Place};
use super::keys::{Done, KEY_OVERHEAD_BYTES, Keys};
use super::mailboxes::{MAILBOX_OVERHEAD_BYTES, Mailboxes};
use super::pins::{Pins, Recorded};
use super::renewal::Renewal;
use super::spread::Spread;
use super::turn::Turn;
use super::usage::MESSAGE_OVERHEAD_BYTES;
use super::wheel::Wheel;
use crate::domain::event::{Event, Posted, Taken, TakenRange};
use crate::domain::id::{IdClock, MessageId};
use crate::domain::key::KeyClaim;
use crate::domain::mailbox::MailboxFull;
use crate::domain::message::{Attributes, Content, End, Ended, Unread};
use crate::domain::time::UnixMs;
use crate::domain::username::{ShardId, Username, UsernameHash};

/// The state of one shard.
#[derive(Debug)]
pub struct Shard {
    /// Which one.
    pub id: ShardId,
    /// The number of the last batch that holds an event of this shard: its answers wait for that.
    pub last_batch: u64,
    /// The time of the last event; the shard's clock never goes back behind it.
    pub(super) at: UnixMs,
    pub(super) ids: IdClock,
    pub(super) mailboxes: Mailboxes,
    pub(super) index: Index,
    pub(super) wheel: Wheel,
    pub(super) endings: Endings,
    pub(super) keys: Keys,
    pub(super) pins: Pins,
    pub(super) renewal: Renewal,
}

impl Shard {
    /// A shard without messages or past; `now` is where its wheel starts to turn.
    pub fn new(id: ShardId, now: UnixMs, spread: Spread) -> Shard {
        Shard {
            id,
            last_batch: 0,
            at: UnixMs::default(),
            ids: IdClock::default(),
            mailboxes: Mailboxes::new(spread),
            index: Index::default(),
            wheel: Wheel::new(now),
            endings: Endings::default(),
            keys: Keys::default(),
            pins: Pins::default(),
            renewal: Renewal::default(),
        }
    }

    /// Accepts a message.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was done.
    pub fn post(&mut self, post: Post, turn: &mut Turn<'_>) -> Result<Accepted, Refusal> {
        let now = self.now(turn);
        if let Some(done) = self.repeated(post.key, now)? {
            let Done::Posted(id) = done else {
                return Err(Refusal::KeyReused);
            };
            return Ok(Accepted { id, replayed: true });
        }
        let mailbox = self.current_mailbox(&post.username, post.hash, turn);
        self.admit(&post, mailbox, turn)?;
        let Post {
            username,
            hash,
            content,
            ttl_ms,
            key,
        } = post;
        let id = MessageId::new(self.ids.next(now), hash.route(), turn.random);
        // The id clock may run ahead of now; a life of nothing ends now all the same.
        let expires_at = match ttl_ms {
            0 => now,
            _ => id.created_at().plus_ms(ttl_ms),
        };
        let attributes = Attributes(content.attributes().to_vec());
        let (name, text) = (username.as_str(), content.text());
        let event = Posted {
            username: name,
            id,
            expires_at,
            text,
            attributes,
            key,
        };
        self.record(turn, &Event::Posted(event));
        self.remember(key, Done::Posted(id), turn);
        turn.tally.posted += 1;
        turn.usage.take_bytes(message_bytes(&content));
        let recorded = self.recorded(turn);
        self.pins.pin(id, content.bytes(), recorded);
        let message = Unread {
            id,
            expires_at,
            content,
        };
        if message.is_expired(now) {
            turn.tally.expired += 1;
            self.end(Ended::expired(message, &username));
        } else {
            turn.tally.unread += 1;
            let handle = mailbox.unwrap_or_else(|| {
                turn.usage.take_bytes(MAILBOX_OVERHEAD_BYTES);
                self.mailboxes.activate(username, hash)
            });
            self.put(handle, message);
        }
        Ok(Accepted {
            id,
            replayed: false,
        })
    }

    /// Whether something was done under this key before.
    pub fn knows(&self, key: Option<KeyClaim>, turn: &Turn<'_>) -> bool {
        key.is_some_and(|key| self.keys.find(&key, self.now(turn)).is_some())
    }

    /// Delivers the oldest messages of a mailbox; they are expired thereby.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was done.
    pub fn take(&mut self, take: Take, turn: &mut Turn<'_>) -> Result<Delivery, Refusal> {
        let now = self.now(turn);
        let Take {
            username,
            hash,
            limit,
            key,
            is_repeat,
        } = take;
        if let Some(claim) = key
            && let Some(remembered) = self.keys.find(&claim, now)
        {
            return match remembered.done {
                Done::Taken(range) if remembered.body == claim.body => {
                    Ok(self.delivery_again(username, remembered.at, range))
                }
                _ => Err(Refusal::KeyReused),
            };
        }
        admit_key(key, turn)?;
        let mailbox = self.current_mailbox(&username, hash, turn);
        let range = mailbox.and_then(|handle| self.mailboxes.get(handle).oldest(limit));
        // An empty answer to the first attempt of a forwarded call binds nobody: whoever repeats it never
        // saw it. After a repeat the first attempt may still come, and must find nothing either.
        let binds = is_repeat || key.is_some_and(|key| key.is_of_client());
        let is_remembered = range.is_some() || key.is_some() && binds;
        if is_remembered {
            self.record(
                turn,
                &Event::Taken(Taken {
                    username: username.as_str(),
                    range,
                    key,
                }),
            );
        }
        self.remember(key.filter(|_| is_remembered), Done::Taken(range), turn);
        let mut messages = Vec::new();
        if let (Some(handle), Some(range)) = (mailbox, range) {
            messages.reserve_exact(range.count as usize);
            self.remove_taken(handle, range, now, |ended| {
                messages.push(Delivered {
                    id: ended.id,
                    content: ended.content.clone(),
                });
            });
            turn.tally.delivered += messages.len() as u64;
            turn.tally.unread -= messages.len() as i64;
            self.passivate_if_empty(handle, turn);
        }
        Ok(Delivery {
            messages,
            archived: None,
            replayed: false,
        })
    }

    /// Counts what a read would deliver.
    pub fn count(&mut self, username: &Username, hash: UsernameHash, turn: &mut Turn<'_>) -> Count {
        let mailbox = self
            .current_mailbox(username, hash, turn)
            .map(|handle| self.mailboxes.get(handle));
        mailbox.map_or_else(Count::default, |mailbox| Count {
            unread: mailbox.len(),
            oldest_at: mailbox.oldest_at(),
        })
    }

    /// Looks a message up among those in memory.
    pub fn find(&mut self, id: MessageId, turn: &mut Turn<'_>) -> Found {
        if let Some(Place::Mailbox(handle)) = self.index.find(id) {
            self.expire(handle, turn);
        }
        match self.index.find(id) {
            None => Found::Elsewhere,
            Some(Place::Ending(number)) => {
                let ended = self.endings.get(number).filter(|ended| ended.id == id);
                ended.map_or(Found::Elsewhere, |ended| Found::Ended(ended.clone()))
            }
            Some(Place::Mailbox(handle)) => {
                let mailbox = self.mailboxes.get(handle);
                mailbox.find(id).map_or(Found::Elsewhere, |message| {
                    Found::Unread(mailbox.username().clone(), message.clone())
                })
            }
        }
    }

    /// The shard's time in this turn: the process's, but never before the last event.
    pub(super) fn now(&self, turn: &Turn<'_>) -> UnixMs {
        turn.now.max(self.at)
    }

    /// Writes an event into the turn's group: what depends on it waits for that group.
    pub(super) fn record(&mut self, turn: &mut Turn<'_>, event: &Event<'_>) {
        self.at = self.now(turn);
        turn.group.push(self.id, self.at, event);
        self.pins.count(event.content_bytes());
        self.last_batch = turn.batch;
    }

    /// Where and when the event of this turn was recorded.
    pub(super) fn recorded(&self, turn: &Turn<'_>) -> Recorded {
        Recorded {
            position: turn.position,
            at: self.at,
        }
    }

    /// What was done under this key before, if the request is the same.
    fn repeated(&self, key: Option<KeyClaim>, now: UnixMs) -> Result<Option<Done>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        match self.keys.find(&key, now) {
            Some(remembered) if remembered.body != key.body => Err(Refusal::KeyReused),
            remembered => Ok(remembered.map(|remembered| remembered.done)),
        }
    }

    /// Remembers what was done under this key, if there is one.
    fn remember(&mut self, key: Option<KeyClaim>, done: Done, turn: &Turn<'_>) {
        let Some(key) = key else { return };
        self.keys.remember(key, self.now(turn), done, turn.position);
        if key.is_of_client() {
            turn.usage.take_keys(1);
        }
        turn.usage.take_bytes(KEY_OVERHEAD_BYTES);
    }

    fn admit(&self, post: &Post, mailbox: Option<u32>, turn: &Turn<'_>) -> Result<(), Refusal> {
        let bytes = post.content.bytes();
        let for_key = post.key.map_or(0, |_| KEY_OVERHEAD_BYTES);
        let for_mailbox = mailbox.map_or(MAILBOX_OVERHEAD_BYTES, |_| 0);
        if !turn
            .usage
            .has_bytes(message_bytes(&post.content) + for_key + for_mailbox)
        {
            return Err(Refusal::MemoryFull);
        }
        admit_key(post.key, turn)?;
        if post.ttl_ms == 0 {
            return Ok(());
        }
        match mailbox {
            Some(handle) => Ok(self.mailboxes.get(handle).admit(bytes, turn.limits)?),
            None => Ok(MailboxFull::check(0, 0, bytes, turn.limits)?),
        }
    }

    /// The user's mailbox with nothing in it that is due, if there is one.
    fn current_mailbox(
        &mut self,
        username: &Username,
        hash: UsernameHash,
        turn: &mut Turn<'_>,
    ) -> Option<u32> {
        let handle = self.mailboxes.find(username, hash)?;
        if self.expire(handle, turn) {
            self.mailboxes.find(username, hash)
        } else {
            Some(handle)
        }
    }

    /// Puts a message into its mailbox, its index and the wheel.
    pub(super) fn put(&mut self, handle: u32, message: Unread) {
        self.index.put(message.id, Place::Mailbox(handle));
        let mailbox = self.mailboxes.get_mut(handle);
        let before = mailbox.next_deadline();
        mailbox.accept(message);
        let deadline = mailbox.next_deadline();
        if deadline != before {
            self.wheel.schedule(
                handle,
                deadline.expect("a mailbox with a message has a deadline"),
            );
        }
    }

    /// Moves what a read delivered from the mailbox to the endings.
    pub(super) fn remove_taken(
        &mut self,
        handle: u32,
        range: TakenRange,
        at: UnixMs,
        mut delivered: impl FnMut(&Ended),
    ) {
        let (endings, index) = (&mut self.endings, &mut self.index);
        self.mailboxes.get_mut(handle).take(range, at, |ended| {
            delivered(&ended);
            let id = ended.id;
            index.put(id, Place::Ending(endings.push(ended)));
        });
    }

    /// Adds an ending that was never in a mailbox.
    pub(super) fn end(&mut self, ended: Ended) {
        let id = ended.id;
        self.index.put(id, Place::Ending(self.endings.push(ended)));
    }

    /// The answer of an earlier read: what of it waits for the archive, and where the rest is.
    fn delivery_again(
        &self,
        username: Username,
        read_at: UnixMs,
        range: Option<TakenRange>,
    ) -> Delivery {
        let Some(range) = range else {
            return Delivery {
                messages: Vec::new(),
                archived: None,
                replayed: true,
            };
        };
        let of_this_read = |ended: &&Ended| {
            let in_range = range.first <= ended.id && ended.id <= range.last;
            in_range
                && ended.end == End::Read
                && ended.ended_at == read_at
                && ended.username == username
        };
        let waiting = self.endings.iter().filter(of_this_read);
        let messages: Vec<_> = waiting
            .map(|ended| Delivered {
                id: ended.id,
                content: ended.content.clone(),
            })
            .collect();
        let archived = (messages.len() < range.count as usize).then_some(ReadPlace {
            username,
            read_at,
            range,
        });
        Delivery {
            messages,
            archived,
            replayed: true,
        }
    }
}

/// Whether one more key may be remembered. A read with a key is not refused for its memory: it is
/// what frees memory, and the number of keys is bounded by itself.
fn admit_key(key: Option<KeyClaim>, turn: &Turn<'_>) -> Result<(), Refusal> {
    match key {
        Some(key) if key.is_of_client() && !turn.usage.has_key() => Err(Refusal::KeysFull),
        _ => Ok(()),
    }
}

/// Memory that a message takes, for the accounting.
pub(super) fn message_bytes(content: &Content) -> u64 {
    content.bytes() as u64 + MESSAGE_OVERHEAD_BYTES
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
