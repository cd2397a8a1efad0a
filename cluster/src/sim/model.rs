//! The little application that the simulated cluster runs: posts, reads, expiry and look-ups over
//! opaque frames.
//!
//! It owns what is in a frame and what a memory is. It knows nothing of owners, journals or gates.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A message.
pub(super) type Id = u64;

/// A forwarded call, or the key that a client repeats a request with.
pub(super) type OpId = u64;

/// A mailbox.
pub(super) type User = u16;

/// Messages that one read delivers at most.
pub(super) const TAKE_MAX: usize = 4;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Post { id: Id, user: User, ttl_ms: u64 },
    Take { user: User },
    Find { id: Id },
}

/// A request on its way through the cluster.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Made by the node that received it (R9).
    pub(super) op: OpId,
    /// Made by the client, which may repeat the request with it (R6).
    pub(super) key: Option<OpId>,
    /// How many times it was tried, this time included.
    pub(super) tries: u32,
    /// An earlier try had no answer and may still be decided: even an empty read is an event now, or
    /// the other try could take what nobody is told of.
    pub(super) is_repeat: bool,
    pub(super) ask: Ask,
}

impl Call {
    /// Who a read is: it is this that may see a message.
    pub(super) fn reader(&self) -> OpId {
        self.key.unwrap_or(self.op)
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Posted,
    Took(Vec<Id>),
    Found(Status),
    Missing,
    /// Nothing was done.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Unread,
    Ended(How),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Taken(OpId),
    Expired,
}

/// A row of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) how: How,
    pub(super) at_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) user: User,
    pub(super) deadline_ms: u64,
}

/// What a frame holds.
#[derive(Debug)]
pub(super) struct FrameData {
    pub(super) hlc_ms: u64,
    pub(super) events: Vec<Event>,
}

pub(super) type Frame = Rc<FrameData>;

/// What happened to a shard, and when by its clock.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at_ms: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Posted {
        id: Id,
        unread: Unread,
        call: Call,
    },
    Taken {
        ids: Vec<Id>,
        call: Call,
    },
    /// Only time went on.
    Time,
    /// What is still needed of everything before (R10).
    Survivors(Rc<Memory>),
}

/// The state of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) unread: BTreeMap<Id, Unread>,
    pub(super) ended: BTreeMap<Id, Row>,
    pub(super) done: BTreeMap<OpId, Reply>,
    pub(super) hlc_ms: u64,
}

impl Memory {
    /// What a call means now, and the event that makes it so, if it changes anything.
    pub(super) fn decide(&self, call: &Call, at_ms: u64) -> (Reply, Option<Event>) {
        let ids = [Some(call.op), call.key];
        if let Some(done) = ids.iter().flatten().find_map(|id| self.done.get(id)) {
            return (done.clone(), None);
        }
        let (call, event) = (call.clone(), |what| Some(Event { at_ms, what }));
        match call.ask {
            Ask::Post { id, user, ttl_ms } => {
                let deadline_ms = at_ms + ttl_ms;
                let unread = Unread { user, deadline_ms };
                (Reply::Posted, event(What::Posted { id, unread, call }))
            }
            Ask::Take { user } => {
                let mine = self.unread.iter().filter(|(_, unread)| unread.user == user);
                let ids: Vec<_> = mine.map(|(id, _)| *id).take(TAKE_MAX).collect();
                let is_event = !ids.is_empty() || call.key.is_some() || call.is_repeat;
                let taken = What::Taken {
                    ids: ids.clone(),
                    call,
                };
                (Reply::Took(ids), if is_event { event(taken) } else { None })
            }
            Ask::Find { id } => match self.status(id) {
                Some(status) => (Reply::Found(status), None),
                None => (Reply::Missing, None),
            },
        }
    }

    pub(super) fn status(&self, id: Id) -> Option<Status> {
        let ended = self.ended.get(&id).map(|row| Status::Ended(row.how));
        ended.or(self.unread.contains_key(&id).then_some(Status::Unread))
    }

    /// Expires what is due; tells whether anything was.
    pub(super) fn advance(&mut self, at_ms: u64) -> bool {
        self.hlc_ms = self.hlc_ms.max(at_ms);
        let is_due = |unread: &Unread| unread.deadline_ms <= at_ms;
        let due = self.unread.iter().filter(|(_, unread)| is_due(unread));
        let due: Vec<_> = due.map(|(id, unread)| (*id, unread.deadline_ms)).collect();
        for (id, at_ms) in &due {
            self.unread.remove(id);
            let (how, at_ms) = (How::Expired, *at_ms);
            self.ended.insert(*id, Row { how, at_ms });
        }
        !due.is_empty()
    }

    /// Applies a frame of the journal.
    pub(super) fn replay(&mut self, frame: &FrameData) {
        for event in &frame.events {
            self.apply(event);
        }
        self.advance(frame.hlc_ms);
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.advance(event.at_ms);
        match &event.what {
            What::Posted { id, unread, call } => {
                self.unread.insert(*id, *unread);
                self.note(call, Reply::Posted);
            }
            What::Taken { ids, call } => {
                for id in ids {
                    if self.unread.remove(id).is_some() {
                        let (how, at_ms) = (How::Taken(call.reader()), event.at_ms);
                        self.ended.insert(*id, Row { how, at_ms });
                    }
                }
                self.note(call, Reply::Took(ids.clone()));
            }
            What::Time => {}
            What::Survivors(survivors) => self.merge(survivors),
        }
    }

    fn note(&mut self, call: &Call, reply: Reply) {
        for id in [Some(call.op), call.key].into_iter().flatten() {
            self.done.insert(id, reply.clone());
        }
    }

    fn merge(&mut self, survivors: &Memory) {
        for (id, row) in &survivors.ended {
            self.unread.remove(id);
            self.ended.entry(*id).or_insert(*row);
        }
        for (id, unread) in &survivors.unread {
            if !self.ended.contains_key(id) {
                self.unread.insert(*id, *unread);
            }
        }
        let done = survivors.done.iter();
        self.done
            .extend(done.map(|(id, reply)| (*id, reply.clone())));
    }
}
