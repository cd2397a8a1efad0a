//! What passes between a node and its world: requests, messages, answers, facts for the checker.

use std::rc::Rc;

use super::model::{Call, Id, Memory, OpId, Reply, Row};
use super::store::Request;
use crate::member::Generation;
use crate::ownership::tenure::Offer;
use crate::shard::{Epoch, Shard};

/// What a node does to the world.
pub(super) enum Out {
    Store(u64, Request),
    Peer(Generation, Message),
    Client(OpId, Reply),
    Fact(Fact),
}

/// What the checker is told besides the answers.
pub(super) enum Fact {
    /// A tenure found its journal damaged.
    Damaged(Shard),
    /// An archive row is written.
    Flushed(Id, Row),
    /// Something that rests on so many frames of an epoch leaves the node.
    Released(Shard, Epoch, u64),
    /// A frame is older than the one before.
    WentBack(Shard),
}

#[derive(Clone)]
pub(super) enum Message {
    Forward(Call, Generation),
    /// The answer to a call, and whether that was a repeat.
    Answered(OpId, Reply, bool),
    /// Nothing was done by this try of the call.
    NotOwner(OpId, u32),
    Offered(Shard, Offer, Rc<Memory>, Generation),
    TakenOver(Shard, Epoch),
}

/// What a request to the store was for.
#[derive(Clone)]
pub(super) enum About {
    Row,
    Swap,
    Fence(Generation),
    Segment {
        epoch: Epoch,
        from: u64,
    },
    Frame,
    /// Only for planted bugs.
    EarlyFence(u64),
    EarlyFrame(Request),
}

#[derive(Clone)]
pub(super) enum Asked {
    Host(Shard, u64, About),
    Gate,
    Flush(Shard, u64, Vec<(Id, Row)>),
    Delete(Request),
    /// A look-up: who asked, and whether a miss is an answer.
    Find(Call, Generation, bool),
    /// Only for planted bugs: a look-up that asks the archive first.
    FindFirst(Call, Generation),
    Nothing,
}
