//! What clients asked and were told, and whether it keeps the promise.
//!
//! It owns every check; it sees answers, archive rows, seals and alarms, never the protocol's state.

use std::collections::BTreeMap;

use super::model::{Ask, Call, How, Id, OpId, Reply, Row, Status, TAKE_MAX, User};
use crate::ownership::claim::ClaimRow;
use crate::shard::{Epoch, Shard};

/// By so much less than its time to live may a message live: two wrong clocks, just not found out.
const EARLY_MS: u64 = 2_500;

/// By so much more may it live: a clock that is as wrong, and behind.
const LATE_MS: u64 = 3_500;

struct Post {
    user: User,
    ttl_ms: u64,
    begun_us: u64,
    /// Since when it must be somewhere: answered, or seen.
    known_us: Option<u64>,
    is_refused: bool,
    /// Since when it cannot be unread any more.
    gone_us: Option<u64>,
    delivered: Option<OpId>,
    end: Option<How>,
    row: Option<Row>,
}

struct Read {
    user: User,
    begun_us: u64,
    answer: Option<Vec<Id>>,
    is_refused: bool,
}

#[derive(Default)]
pub(super) struct History {
    posts: BTreeMap<Id, Post>,
    reads: BTreeMap<OpId, Read>,
    seals: BTreeMap<(Shard, Epoch), u64>,
    /// On how many frames the answers of an epoch rest.
    rested: BTreeMap<(Shard, Epoch), u64>,
    pub(super) violation: Option<String>,
}

impl History {
    pub(super) fn begin(&mut self, call: &Call, now_us: u64) {
        match call.ask {
            Ask::Post { id, user, ttl_ms } => {
                self.posts.entry(id).or_insert(Post {
                    user,
                    ttl_ms,
                    begun_us: now_us,
                    known_us: None,
                    is_refused: false,
                    gone_us: None,
                    delivered: None,
                    end: None,
                    row: None,
                });
            }
            Ask::Take { user } => {
                self.reads.entry(call.reader()).or_insert(Read {
                    user,
                    begun_us: now_us,
                    answer: None,
                    is_refused: false,
                });
            }
            Ask::Find { .. } => {}
        }
    }

    pub(super) fn answered(&mut self, call: &Call, begun_us: u64, reply: &Reply, now_us: u64) {
        match (reply, &call.ask) {
            (Reply::Posted, Ask::Post { id, .. }) => self.known(*id, now_us),
            (Reply::Took(ids), _) => self.took(call.reader(), ids, now_us),
            (Reply::Found(status), Ask::Find { id }) => {
                self.found(*id, *status, begun_us, now_us);
            }
            (Reply::Missing, Ask::Find { id }) => {
                let known = self.posts.get(id).and_then(|post| post.known_us);
                self.check(known.is_none_or(|at| at >= begun_us), || {
                    format!("message {id} is answered by 404, though it was known")
                });
            }
            (Reply::Refused, Ask::Take { .. }) => {
                if let Some(read) = self.reads.get_mut(&call.reader()) {
                    read.is_refused = call.key.is_none();
                }
            }
            (Reply::Refused, Ask::Post { id, .. }) => {
                if let Some(post) = self.posts.get_mut(id) {
                    post.is_refused = call.key.is_none();
                }
            }
            _ => {}
        }
    }

    fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(text());
        }
    }

    fn known(&mut self, id: Id, now_us: u64) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        post.known_us.get_or_insert(now_us);
        let is_refused = post.is_refused;
        self.check(!is_refused, || {
            format!("message {id} exists, though its post was refused")
        });
    }

    fn took(&mut self, reader: OpId, ids: &[Id], now_us: u64) {
        let Some(read) = self.reads.get_mut(&reader) else {
            return;
        };
        let (user, begun_us) = (read.user, read.begun_us);
        let before = read.answer.get_or_insert_with(|| ids.to_vec());
        let is_same = before == ids;
        self.check(is_same, || {
            format!("read {reader} is answered by another set: {ids:?}")
        });
        for id in ids {
            self.delivered(*id, reader, begun_us, now_us);
        }
        if ids.len() == TAKE_MAX {
            return;
        }
        // What the read should have seen, and did not, had ended before.
        for (id, post) in &mut self.posts {
            let was_there = post.known_us.is_some_and(|at| at < begun_us);
            if post.user == user && was_there && !ids.contains(id) {
                post.gone_us = Some(post.gone_us.map_or(now_us, |at| at.min(now_us)));
            }
        }
    }

    fn delivered(&mut self, id: Id, reader: OpId, begun_us: u64, now_us: u64) {
        self.known(id, now_us);
        self.live(id, begun_us);
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let other = post.delivered.replace(reader).filter(|o| *o != reader);
        let was_gone = other.is_none() && post.gone_us.is_some_and(|at| at < begun_us);
        post.gone_us = Some(post.gone_us.map_or(now_us, |at| at.min(now_us)));
        self.check(other.is_none(), || {
            format!("message {id} is delivered by two reads, {other:?} and {reader}")
        });
        self.check(!was_gone, || {
            format!("message {id} is delivered after a read did not find it")
        });
        self.ended(id, How::Taken(reader), now_us);
    }

    /// A message that has not ended at this time must not be due long since.
    fn live(&mut self, id: Id, at_us: u64) {
        let Some((since_us, ttl_ms)) = self.posts.get(&id).map(|p| (p.known_us, p.ttl_ms)) else {
            return;
        };
        let lives_ms = at_us.saturating_sub(since_us.unwrap_or(at_us)) / 1000;
        self.check(lives_ms <= ttl_ms + LATE_MS, || {
            format!("message {id} lives after {lives_ms} ms")
        });
    }

    /// Somebody is told how a message ended.
    fn ended(&mut self, id: Id, how: How, now_us: u64) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let before = *post.end.get_or_insert(how);
        let lives_ms = (now_us - post.begun_us) / 1000;
        let is_early = how == How::Expired && lives_ms + EARLY_MS < post.ttl_ms;
        self.check(before == how, || {
            format!("message {id} ended twice: {before:?} and {how:?}")
        });
        self.check(!is_early, || {
            format!("message {id} expired after {lives_ms} ms")
        });
        if let How::Taken(reader) = how {
            let read = self.reads.get(&reader);
            let is_lost = read.is_none_or(|read| {
                let is_other = read.answer.as_ref().is_some_and(|ids| !ids.contains(&id));
                is_other || read.is_refused
            });
            self.check(!is_lost, || {
                format!("message {id} is lost: read {reader} took it, and was told otherwise")
            });
        }
    }

    fn found(&mut self, id: Id, status: Status, begun_us: u64, now_us: u64) {
        self.known(id, now_us);
        match status {
            Status::Unread => {
                self.live(id, begun_us);
                let gone = self.posts.get(&id).and_then(|post| post.gone_us);
                self.check(gone.is_none_or(|at| at >= begun_us), || {
                    format!("message {id} is found unread after its end")
                });
            }
            Status::Ended(how) => {
                self.ended(id, how, now_us);
                if let Some(post) = self.posts.get_mut(&id) {
                    post.gone_us.get_or_insert(now_us);
                }
            }
        }
    }

    pub(super) fn flushed(&mut self, id: Id, row: Row, now_us: u64) {
        self.known(id, now_us);
        self.ended(id, row.how, now_us);
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let before = *post.row.get_or_insert(row);
        self.check(before == row, || {
            format!("message {id} has two archive rows: {before:?} and {row:?}")
        });
    }

    /// A seal is final.
    pub(super) fn claimed(&mut self, shard: Shard, row: &ClaimRow) {
        for link in &row.chain {
            let Some(length) = link.sealed else { continue };
            let before = *self.seals.entry((shard, link.epoch)).or_insert(length);
            self.check(before == length, || {
                format!(
                    "{shard:?} {:?} is sealed at {before} and {length}",
                    link.epoch
                )
            });
        }
        let counted = (shard, row.base.epoch)..(shard, row.epoch);
        let rested: Vec<_> = self.rested.range(counted).map(|(k, n)| (*k, *n)).collect();
        for ((_, epoch), frames) in rested {
            let link = row.chain.iter().find(|link| link.epoch == epoch);
            let holds = link.is_some_and(|link| link.sealed.is_none_or(|n| frames <= n));
            self.check(holds || frames == 0, || {
                format!("{shard:?} {epoch:?}: {frames} frames were answered for, in {link:?}")
            });
        }
    }

    /// An answer rests only on frames before the seal, and the seal leaves none of them out.
    pub(super) fn released(&mut self, shard: Shard, epoch: Epoch, frames: u64) {
        let rested = self.rested.entry((shard, epoch)).or_default();
        *rested = frames.max(*rested);
        let sealed = self.seals.get(&(shard, epoch)).copied();
        self.check(sealed.is_none_or(|length| frames <= length), || {
            format!("{shard:?} {epoch:?}: an answer rests on {frames} frames, sealed at {sealed:?}")
        });
    }

    pub(super) fn fail(&mut self, text: String) {
        self.check(false, || text);
    }

    /// At the end each of these messages, if it is known, must be somewhere.
    pub(super) fn finish(
        &mut self,
        ids: impl Iterator<Item = Id>,
        status: impl Fn(Id) -> Option<Status>,
        now_us: u64,
    ) {
        for id in ids {
            let is_known = self.posts.get(&id).is_some_and(|p| p.known_us.is_some());
            match status(id) {
                _ if !is_known => {}
                Some(status) => self.found(id, status, now_us, now_us),
                None => self.fail(format!("message {id} is lost without a trace")),
            }
        }
    }
}
