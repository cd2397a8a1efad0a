//! The messages of one mailbox in the order of delivery.
//!
//! Most mailboxes hold one message, so one is kept in place, without a second allocation. There are
//! only two variants so that the enum needs no tag: it is as large as one message.

use std::collections::VecDeque;

use super::id::MessageId;
use super::message::Unread;

/// Unread messages, oldest first.
#[derive(Clone, Debug)]
pub enum Queue {
    /// One, in place.
    One(Unread),
    /// None, or more than one at some time.
    Many(VecDeque<Unread>),
}

impl Default for Queue {
    /// The empty queue; it allocates nothing.
    fn default() -> Queue {
        Queue::Many(VecDeque::new())
    }
}

impl Queue {
    /// Adds a message at its place in the order of ids, mostly the last.
    pub fn insert(&mut self, message: Unread) {
        *self = match std::mem::take(self) {
            Queue::Many(messages) if messages.capacity() == 0 => Queue::One(message),
            Queue::One(other) if message.id < other.id => {
                Queue::Many(VecDeque::from([message, other]))
            }
            Queue::One(other) => Queue::Many(VecDeque::from([other, message])),
            Queue::Many(mut messages) => {
                if messages.back().is_none_or(|last| last.id < message.id) {
                    messages.push_back(message);
                } else {
                    let place = messages.partition_point(|other| other.id < message.id);
                    messages.insert(place, message);
                }
                Queue::Many(messages)
            }
        };
    }

    /// Removes the oldest message.
    pub fn pop(&mut self) -> Option<Unread> {
        match self {
            Queue::Many(messages) => messages.pop_front(),
            Queue::One(_) => match std::mem::take(self) {
                Queue::One(message) => Some(message),
                Queue::Many(_) => None,
            },
        }
    }

    /// Removes every message for which `leaves` holds, in order, handing each to `gone`.
    pub fn remove_if(&mut self, leaves: impl Fn(&Unread) -> bool, mut gone: impl FnMut(Unread)) {
        match self {
            Queue::One(message) => {
                if leaves(message)
                    && let Some(message) = self.pop()
                {
                    gone(message);
                }
            }
            Queue::Many(messages) => {
                for _ in 0..messages.len() {
                    let Some(message) = messages.pop_front() else {
                        break;
                    };
                    if leaves(&message) {
                        gone(message);
                    } else {
                        messages.push_back(message);
                    }
                }
            }
        }
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        match self {
            Queue::One(_) => 1,
            Queue::Many(messages) => messages.len(),
        }
    }

    /// The message at a place, 0 being the oldest.
    pub fn get(&self, place: usize) -> Option<&Unread> {
        match self {
            Queue::One(message) => (place == 0).then_some(message),
            Queue::Many(messages) => messages.get(place),
        }
    }

    /// The message with this id; the ids grow along the queue.
    pub fn find(&self, id: MessageId) -> Option<&Unread> {
        match self {
            Queue::One(message) => (message.id == id).then_some(message),
            Queue::Many(messages) => {
                let place = messages
                    .binary_search_by_key(&id, |message| message.id)
                    .ok()?;
                messages.get(place)
            }
        }
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Unread> {
        let (one, many) = match self {
            Queue::One(message) => (Some(message), None),
            Queue::Many(messages) => (None, Some(messages)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}
