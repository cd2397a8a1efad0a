//! A run as text: a line for each thing that a reader of a failed seed wants to see.
//!
//! It owns the words. A run that nobody replays makes none.

use super::host::KEY_BIT;
use super::model::{Ask, Call, FrameData, How, Reply, Status, What};
use super::node::{Fact, Message};
use super::store::Request;
use super::world::World;
use crate::member::Generation;
use crate::ownership::claim::ClaimRow;
use crate::shard::{Epoch, Shard};

impl World {
    /// Writes a line, if this run is replayed.
    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        let (seconds, micros) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
        if let Some(lines) = &mut self.trace {
            lines.push(format!("{seconds:>3}.{micros:06} {}", text()));
        }
    }
}

/// A start of a node: its place, and how many times it was started.
pub(super) fn node(generation: Generation) -> String {
    let number = generation.0.as_u128();
    format!("node {}.{}", number & 0xff, number >> 8)
}

pub(super) fn asked(call: &Call) -> String {
    let what = match call.ask {
        Ask::Post { id, user, ttl_ms } => format!("post {id} to user {user} for {ttl_ms} ms"),
        Ask::Take { user } => format!("read of user {user}"),
        Ask::Find { id } => format!("look-up of {id}"),
    };
    match call.key {
        Some(key) => format!("{what}, key {}", short(key)),
        None => format!("{what}, op {}", short(call.op)),
    }
}

pub(super) fn replied(reply: &Reply) -> String {
    match reply {
        Reply::Posted => "posted".to_owned(),
        Reply::Took(ids) => format!("took {ids:?}"),
        Reply::Found(Status::Unread) => "unread".to_owned(),
        Reply::Found(Status::Ended(how)) => ended(*how),
        Reply::Missing => "404".to_owned(),
        Reply::Refused => "refused".to_owned(),
    }
}

pub(super) fn requested(request: &Request) -> String {
    match request {
        Request::ReadRow(Shard(shard)) => format!("reads the claim row of shard {shard}"),
        Request::Swap(Shard(shard), _, row) => {
            format!("swaps the claim row of shard {shard} for {}", claim(row))
        }
        Request::WriteFence {
            node: of,
            shard: Shard(shard),
            epoch: Epoch(epoch),
            ..
        } => format!("fences {} off shard {shard} by epoch {epoch}", node(*of)),
        Request::ReadFences(_) => "reads its fences".to_owned(),
        Request::ReadSegment {
            shard: Shard(shard),
            epoch: Epoch(epoch),
            segment,
            from,
        } => format!("reads segment {segment} of shard {shard} epoch {epoch} from {from}"),
        Request::WriteFrame((Shard(shard), Epoch(epoch), seq), frame) => {
            let events = events(frame);
            format!("writes frame {seq} of shard {shard} epoch {epoch}: {events}")
        }
        Request::DeleteSegment {
            shard: Shard(shard),
            epoch: Epoch(epoch),
            segment,
        } => format!("deletes segment {segment} of shard {shard} epoch {epoch}"),
        Request::WriteArchive(rows) => {
            let rows = rows.iter();
            let rows: Vec<_> = rows
                .map(|(id, row)| format!("{id} {}", ended(row.how)))
                .collect();
            format!("writes archive rows: {}", rows.join(", "))
        }
        Request::ReadArchive(id) => format!("reads the archive row of {id}"),
    }
}

pub(super) fn told(message: &Message) -> String {
    match message {
        Message::Forward(call, _) => format!("forwards try {}: {}", call.tries, asked(call)),
        Message::Answered(op, reply, _) => {
            format!("answers op {}: {}", short(*op), replied(reply))
        }
        Message::NotOwner(op, _) => format!("is not the owner for op {}", short(*op)),
        Message::Offered(Shard(shard), offer, ..) => {
            let (epoch, frames) = (offer.row.epoch.0, offer.frames);
            format!("offers shard {shard} after {frames} frames of epoch {epoch}")
        }
        Message::TakenOver(Shard(shard), Epoch(epoch)) => {
            format!("took shard {shard} over under epoch {epoch}")
        }
    }
}

/// What is worth a line; the others show in what is written and answered.
pub(super) fn fact(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Damaged(Shard(shard)) => Some(format!("finds shard {shard} damaged")),
        Fact::Released(Shard(shard), Epoch(epoch), frames) => Some(format!(
            "releases an answer of shard {shard} that rests on {frames} frames of epoch {epoch}"
        )),
        Fact::Flushed(..) | Fact::WentBack(_) => None,
    }
}

pub(super) fn claim(row: &ClaimRow) -> String {
    let links = row.chain.iter().map(|link| match link.sealed {
        Some(length) => format!("{}:{length}", link.epoch.0),
        None => format!("{}:open", link.epoch.0),
    });
    let links: Vec<_> = links.collect();
    format!(
        "epoch {} of {}, {:?}, chain [{}], base {}:{}",
        row.epoch.0,
        node(row.owner),
        row.state,
        links.join(" "),
        row.base.epoch.0,
        row.base.seq
    )
}

fn events(frame: &FrameData) -> String {
    let events = frame.events.iter().map(|event| match &event.what {
        What::Posted { id, .. } => format!("posted {id}"),
        What::Taken { ids, call } => format!("{ids:?} taken by {}", short(call.reader())),
        What::Time => "time".to_owned(),
        What::Survivors(memory) => {
            let (unread, ended) = (memory.unread.len(), memory.ended.len());
            format!("survivors ({unread} unread, {ended} ended)")
        }
    });
    let events: Vec<_> = events.collect();
    format!("{} at {}", events.join(", "), frame.hlc_ms)
}

fn ended(how: How) -> String {
    match how {
        How::Taken(reader) => format!("taken by {}", short(reader)),
        How::Expired => "expired".to_owned(),
    }
}

/// Keys and op ids without the bit that tells them apart.
fn short(id: u64) -> String {
    let prefix = if id & KEY_BIT != 0 { 'k' } else { 'o' };
    format!("{prefix}{}", id & !KEY_BIT)
}
