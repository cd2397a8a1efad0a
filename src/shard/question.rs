//! What a shard can be asked, each with the kind of its answer.

use tokio::sync::oneshot;

use super::call::{Accepted, Asker, CallError, Count, Delivery, Found, Post, Refusal, Take};
use super::command::Command;
use super::host::ShardHost;
use super::pending::Reply;
use crate::domain::id::MessageId;
use crate::domain::username::{ShardId, Username, UsernameHash};
use crate::store::journal::Journal;

/// One of the four things that can be asked.
pub(super) trait Question: Sized {
    type Answer;

    /// Whose it is.
    fn shard(&self) -> ShardId;

    /// Decides it, and tells the batch that its answer waits for.
    fn decide<J: Journal>(
        self,
        host: &mut ShardHost<J>,
        place: usize,
    ) -> (u64, Result<Self::Answer, Refusal>);

    /// The question as a command that waits.
    fn command(self, asker: Asker<Self::Answer>) -> Command;

    /// Its answer as a reply that waits.
    fn reply(asker: Asker<Self::Answer>, answer: Result<Self::Answer, Refusal>) -> Reply;
}

/// Whose mailbox is to be counted.
#[derive(Debug)]
pub(super) struct CountOf(pub Username, pub UsernameHash);

/// An answer that is there, or will be.
#[derive(Debug)]
pub enum Answering<R> {
    /// It may leave.
    Now(Result<R, Refusal>),
    /// It waits for its batch, or for its shard.
    Later(oneshot::Receiver<Result<R, Refusal>>),
}

impl<R> Answering<R> {
    /// The answer.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn wait(self) -> Result<R, CallError> {
        let answer = match self {
            Answering::Now(answer) => answer,
            Answering::Later(answer) => answer.await.map_err(|_| CallError::OutcomeUnknown)?,
        };
        Ok(answer?)
    }
}

impl Question for Post {
    type Answer = Accepted;

    fn shard(&self) -> ShardId {
        self.hash.route().shard()
    }

    fn decide<J: Journal>(
        self,
        host: &mut ShardHost<J>,
        place: usize,
    ) -> (u64, Result<Accepted, Refusal>) {
        host.post(place, self)
    }

    fn command(self, asker: Asker<Accepted>) -> Command {
        Command::Post(self, asker)
    }

    fn reply(asker: Asker<Accepted>, answer: Result<Accepted, Refusal>) -> Reply {
        Reply::Post(asker, answer)
    }
}

impl Question for Take {
    type Answer = Delivery;

    fn shard(&self) -> ShardId {
        self.hash.route().shard()
    }

    fn decide<J: Journal>(
        self,
        host: &mut ShardHost<J>,
        place: usize,
    ) -> (u64, Result<Delivery, Refusal>) {
        host.take(place, self)
    }

    fn command(self, asker: Asker<Delivery>) -> Command {
        Command::Take(self, asker)
    }

    fn reply(asker: Asker<Delivery>, answer: Result<Delivery, Refusal>) -> Reply {
        Reply::Take(asker, answer)
    }
}

impl Question for CountOf {
    type Answer = Count;

    fn shard(&self) -> ShardId {
        self.1.route().shard()
    }

    fn decide<J: Journal>(
        self,
        host: &mut ShardHost<J>,
        place: usize,
    ) -> (u64, Result<Count, Refusal>) {
        let CountOf(username, hash) = self;
        let (batch, count) =
            host.answer_with(place, |shard, turn| shard.count(&username, hash, turn));
        (batch, Ok(count))
    }

    fn command(self, asker: Asker<Count>) -> Command {
        Command::Count(self.0, self.1, asker)
    }

    fn reply(asker: Asker<Count>, answer: Result<Count, Refusal>) -> Reply {
        Reply::Count(asker, answer)
    }
}

impl Question for MessageId {
    type Answer = Found;

    fn shard(&self) -> ShardId {
        self.route().shard()
    }

    fn decide<J: Journal>(
        self,
        host: &mut ShardHost<J>,
        place: usize,
    ) -> (u64, Result<Found, Refusal>) {
        let (batch, found) = host.answer_with(place, |shard, turn| shard.find(self, turn));
        (batch, Ok(found))
    }

    fn command(self, asker: Asker<Found>) -> Command {
        Command::Find(self, asker)
    }

    fn reply(asker: Asker<Found>, answer: Result<Found, Refusal>) -> Reply {
        Reply::Find(asker, answer)
    }
}
