//! The use cases: what a client can ask of the service.
//!
//! Each call finds the shard by the username or the id, asks it, and waits for the answer, which
//! comes when what it depends on is durable. What is no longer in memory is asked of the
//! archive. Nothing here knows HTTP.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::domain::id::MessageId;
use crate::domain::message::{End, Ended, Unread};
use crate::domain::username::{ShardId, Username};
use crate::node::forward::Forward;
use crate::node::wire::{Answer, Call};
use crate::shard::call::{
    Accepted, CallError, Count, Delivered, Delivery, Found, Post, ReadPlace, Refusal, Take,
};
use crate::shard::hosts::Hosts;
use crate::store::StoreError;
use crate::store::archive::Archive;

/// What the archive has at least for a look-up: a second try of a read begins after 0.4 s.
const ARCHIVE_AT_LEAST: Duration = Duration::from_secs(1);

/// The service as one HTTP worker sees it.
#[derive(Debug)]
pub struct Service<A> {
    way: Way,
    archive: Arc<A>,
    /// How long a client waits for an answer at most.
    pub request_timeout: Duration,
}

/// The way to the shards.
#[derive(Debug)]
pub enum Way {
    /// All are in this process.
    Here(Hosts),
    /// Each is somewhere in the cluster.
    Cluster(Forward),
}

/// An answer, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served<T> {
    /// The answer.
    pub answer: T,
    /// The address of the node that served it, in a cluster.
    pub by: Option<Arc<str>>,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The shard gave none.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The archive cannot be read.
    #[error("the archive cannot be read; repeat later")]
    Archive(#[source] StoreError),
    /// The archive gave no answer in time.
    #[error("the archive gave no answer in time; repeat later")]
    ArchiveSilent,
}

/// A message as a look-up finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It waits in its mailbox.
    Unread(Username, Unread),
    /// Its life is over.
    Ended(Ended),
}

impl<A: Archive> Service<A> {
    /// A service over these shards and this archive.
    pub fn new(way: Way, archive: Arc<A>, request_timeout: Duration) -> Service<A> {
        Service {
            way,
            archive,
            request_timeout,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }

    /// Accepts a message.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn post(&self, post: Post) -> Result<Served<Accepted>, ServiceError> {
        Ok(match &self.way {
            Way::Here(hosts) => Served::here(hosts.post(post).await?),
            Way::Cluster(forward) => forward.ask(Call::Post(post)).await?.try_into()?,
        })
    }

    /// Delivers the oldest messages of a mailbox, which are thereby expired.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn take(&self, take: Take) -> Result<Served<Delivery>, ServiceError> {
        let (shard, deadline) = (take.hash.route().shard(), self.deadline());
        let mut served: Served<Delivery> = match &self.way {
            Way::Here(hosts) => Served::here(hosts.take(take).await?),
            Way::Cluster(forward) => forward.ask(Call::Take(take)).await?.try_into()?,
        };
        let delivery = &mut served.answer;
        if let Some(place) = delivery.archived.take() {
            let in_memory = std::mem::take(&mut delivery.messages);
            let archive = self.archive.as_ref();
            let again = read_again(archive, shard, place, in_memory);
            delivery.messages = within(deadline, again).await.map_err(|error| {
                tracing::error!(%error, "the messages of a read that is repeated were not found");
                // They are read, so it must not be said that nothing was done.
                CallError::OutcomeUnknown
            })?;
        }
        Ok(served)
    }

    /// Counts what waits in a mailbox.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn count(&self, username: Username) -> Result<Served<Count>, ServiceError> {
        let hash = username.hash();
        Ok(match &self.way {
            Way::Here(hosts) => Served::here(hosts.count(username).await?),
            Way::Cluster(forward) => {
                let count = Call::Count(username, hash);
                forward.ask(count).await?.try_into()?
            }
        })
    }

    /// Looks a message up: in memory first, then in the archive. An ending leaves memory after its
    /// row is durable, so the two steps miss nothing. While nobody has the shard what the archive has
    /// is answered; that it has nothing says nothing.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn find(&self, id: MessageId) -> Result<Served<Option<Message>>, ServiceError> {
        let deadline = self.deadline();
        let found: Result<Served<Found>, CallError> = match &self.way {
            Way::Here(hosts) => hosts.find(id).await.map(Served::here),
            Way::Cluster(forward) => match forward.ask(Call::Find(id)).await {
                Ok(served) => served.try_into(),
                Err(error) => Err(error),
            },
        };
        let Served { answer, by } = match found {
            Ok(found) => found,
            Err(error @ CallError::Refused(Refusal::NotHere)) => {
                let row = within(late(deadline), self.archive.get(id)).await;
                let row = row.ok().flatten();
                let row = row.ok_or(error)?;
                return Ok(Served::here(Some(Message::Ended(row))));
            }
            Err(error) => return Err(error.into()),
        };
        let answer = match answer {
            Found::Unread(username, message) => Some(Message::Unread(username, message)),
            Found::Ended(ended) => Some(Message::Ended(ended)),
            Found::Elsewhere => {
                let row = within(late(deadline), self.archive.get(id)).await?;
                row.map(Message::Ended)
            }
        };
        Ok(Served { answer, by })
    }
}

/// The deadline of the archive when the shard was asked first, however long that took.
fn late(deadline: Instant) -> Instant {
    deadline.max(Instant::now() + ARCHIVE_AT_LEAST)
}

/// What the archive answers until the deadline.
async fn within<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, ServiceError> {
    match timeout_at(deadline, answer).await {
        Ok(answer) => answer.map_err(ServiceError::Archive),
        Err(_) => Err(ServiceError::ArchiveSilent),
    }
}

/// The messages of an earlier read: those `in_memory` when the shard was asked, the rest from the archive.
async fn read_again<A: Archive>(
    archive: &A,
    shard: ShardId,
    place: ReadPlace,
    in_memory: Vec<Delivered>,
) -> Result<Vec<Delivered>, StoreError> {
    let ReadPlace {
        username,
        read_at,
        range,
    } = place;
    let rows = archive.read_together(shard, read_at, range, username.as_str());
    let mut messages = in_memory;
    for row in rows.await? {
        debug_assert_eq!(row.end, End::Read);
        messages.push(Delivered {
            id: row.id,
            content: row.content,
        });
    }
    messages.sort_unstable_by_key(|message| message.id);
    messages.dedup_by_key(|message| message.id);
    Ok(messages)
}

impl<T> Served<T> {
    fn here(answer: T) -> Served<T> {
        Served { answer, by: None }
    }
}

/// An answer of a peer to another question than was asked: what was done is not known.
fn unexpected(_: Answer) -> CallError {
    CallError::OutcomeUnknown
}

macro_rules! served {
    ($variant:ident, $answer:ty) => {
        impl TryFrom<crate::node::forward::Served> for Served<$answer> {
            type Error = CallError;

            fn try_from(served: crate::node::forward::Served) -> Result<Self, CallError> {
                let by = Some(served.by);
                match served.answer {
                    Answer::$variant(answer) => Ok(Served { answer, by }),
                    other => Err(unexpected(other)),
                }
            }
        }
    };
}

served!(Accepted, Accepted);
served!(Delivered, Delivery);
served!(Counted, Count);
served!(Found, Found);

#[cfg(test)]
#[path = "service/service_tests.rs"]
mod tests;
