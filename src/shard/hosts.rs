//! The hosts of this process's shards, as everybody else sees them: who decides a call.

use std::sync::{Arc, OnceLock};

use actix::Recipient;

use super::call::{Accepted, CallError, Count, Delivery, Found, Post, Take};
use super::host::Decide;
use super::moves::Move;
use crate::domain::id::MessageId;
use crate::domain::username::{ShardId, Username};

/// One host for each HTTP worker; a shard is always at the same one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<[OnceLock<Host>]>);

#[derive(Debug)]
struct Host {
    decides: Arc<dyn Decide>,
    moves: Recipient<Move>,
}

impl Hosts {
    /// The hosts of so many workers, none of which has started.
    pub fn new(workers: usize) -> Hosts {
        Hosts(
            std::iter::repeat_with(OnceLock::new)
                .take(workers)
                .collect(),
        )
    }

    /// Sets the host of one worker; once per worker.
    pub fn set(&self, worker: usize, decides: Arc<dyn Decide>, moves: Recipient<Move>) {
        let set = self.0[worker].set(Host { decides, moves });
        assert!(set.is_ok(), "a worker starts one host");
    }

    /// Whether every worker has its host, so that no call is refused for the start's sake.
    pub fn are_started(&self) -> bool {
        self.0.iter().all(|host| host.get().is_some())
    }

    /// Accepts a message.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post(&self, post: Post) -> Result<Accepted, CallError> {
        let host = self.decider(post.hash.route().shard())?;
        host.post(post).wait().await
    }

    /// Delivers the oldest messages of a mailbox.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn take(&self, take: Take) -> Result<Delivery, CallError> {
        let host = self.decider(take.hash.route().shard())?;
        host.take(take).wait().await
    }

    /// Counts what waits in a mailbox.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn count(&self, username: Username) -> Result<Count, CallError> {
        let hash = username.hash();
        let host = self.decider(hash.route().shard())?;
        host.count(username, hash).wait().await
    }

    /// Looks a message up among those in memory.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn find(&self, id: MessageId) -> Result<Found, CallError> {
        let host = self.decider(id.route().shard())?;
        host.find(id).wait().await
    }

    /// Tells the host of a shard what becomes of it.
    pub fn tell(&self, shard: ShardId, change: Move) {
        if let Some(host) = self.host(shard) {
            // Never refused for a full queue: there are few, and none may be lost.
            host.moves.do_send(change);
        }
    }

    fn decider(&self, shard: ShardId) -> Result<&dyn Decide, CallError> {
        let host = self.host(shard).ok_or(CallError::Busy)?;
        Ok(&*host.decides)
    }

    fn host(&self, shard: ShardId) -> Option<&Host> {
        self.0[shard.index() % self.0.len()].get()
    }
}
