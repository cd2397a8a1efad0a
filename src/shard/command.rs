//! Calls that wait for their shard to be somewhere.

use super::call::{Accepted, Asker, Count, Delivery, Found, Post, Refusal, Take};
use crate::domain::id::MessageId;
use crate::domain::username::{ShardId, Username, UsernameHash};

/// What was asked of a shard, with the way back for the answer.
#[derive(Debug)]
pub enum Command {
    /// Accept a message.
    Post(Post, Asker<Accepted>),
    /// Deliver a mailbox's oldest messages.
    Take(Take, Asker<Delivery>),
    /// Count a mailbox.
    Count(Username, UsernameHash, Asker<Count>),
    /// Look a message up.
    Find(MessageId, Asker<Found>),
}

impl Command {
    /// Whose it is.
    pub fn shard(&self) -> ShardId {
        let route = match self {
            Command::Post(post, _) => post.hash.route(),
            Command::Take(take, _) => take.hash.route(),
            Command::Count(_, hash, _) => hash.route(),
            Command::Find(id, _) => id.route(),
        };
        route.shard()
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        match self {
            Command::Post(_, asker) => asker.is_closed(),
            Command::Take(_, asker) => asker.is_closed(),
            Command::Count(.., asker) => asker.is_closed(),
            Command::Find(_, asker) => asker.is_closed(),
        }
    }

    /// Tells the asker that nothing was done.
    pub fn refuse(self, refusal: Refusal) {
        // An asker that no longer listens needs no answer.
        match self {
            Command::Post(_, asker) => drop(asker.send(Err(refusal))),
            Command::Take(_, asker) => drop(asker.send(Err(refusal))),
            Command::Count(.., asker) => drop(asker.send(Err(refusal))),
            Command::Find(_, asker) => drop(asker.send(Err(refusal))),
        }
    }
}
