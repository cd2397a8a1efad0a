//! The use cases: what a client can ask of the service.
//!
//! Each call finds the shard by the username or the id, sends it a command, and waits for the answer,
//! which comes when what it depends on is durable. What is no longer in memory is asked of the
//! archive. Nothing here knows HTTP.

use std::sync::{Arc, OnceLock};

use actix::Recipient;
use actix::dev::SendError;
use tokio::sync::oneshot;

use crate::domain::id::MessageId;
use crate::domain::message::{End, Ended, Unread};
use crate::domain::username::{ShardId, Username};
use crate::shard::call::{
    Accepted, Count, Delivered, Delivery, Found, Post, ReadPlace, Refusal, Take,
};
use crate::shard::command::Command;
use crate::store::StoreError;
use crate::store::archive::Archive;

/// The service as every HTTP worker sees it; cheap to clone.
#[derive(Debug)]
pub struct Service<A> {
    hosts: Arc<[OnceLock<Recipient<Command>>]>,
    archive: Arc<A>,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was done: the service is starting, or too many calls wait.
    #[error("too many requests wait; repeat after the time in Retry-After")]
    Busy,
    /// It is not known whether it was done.
    #[error(
        "no answer within the time-out: it is not known whether the request was carried out; repeat it with the same Idempotency-Key, or look the id up"
    )]
    OutcomeUnknown,
    /// The archive cannot be read.
    #[error("the archive cannot be read; repeat later")]
    Archive(#[source] StoreError),
}

/// A message as a look-up finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It waits in its mailbox.
    Unread(Username, Unread),
    /// Its life is over.
    Ended(Ended),
}

impl<A> Clone for Service<A> {
    fn clone(&self) -> Service<A> {
        Service {
            hosts: self.hosts.clone(),
            archive: self.archive.clone(),
        }
    }
}

impl<A: Archive> Service<A> {
    /// A service over the shards of so many workers, none of which has started.
    pub fn new(workers: usize, archive: Arc<A>) -> Service<A> {
        Service {
            hosts: std::iter::repeat_with(OnceLock::new)
                .take(workers)
                .collect(),
            archive,
        }
    }

    /// Sets where the shards of one worker are hosted; once per worker.
    pub fn host(&self, worker: usize, host: Recipient<Command>) {
        self.hosts[worker]
            .set(host)
            .expect("a worker starts one host");
    }

    /// Whether every shard has its host, so that no call is refused for the start's sake.
    pub fn is_hosted(&self) -> bool {
        self.hosts.iter().all(|host| host.get().is_some())
    }

    /// Accepts a message.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn post(&self, post: Post) -> Result<Accepted, ServiceError> {
        let shard = post.hash.route().shard();
        Ok(self
            .ask(shard, |answer| Command::Post(post, answer))
            .await??)
    }

    /// Delivers the oldest messages of a mailbox, which are thereby expired.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn take(&self, take: Take) -> Result<Delivery, ServiceError> {
        let shard = take.hash.route().shard();
        let mut delivery = self
            .ask(shard, |answer| Command::Take(take, answer))
            .await??;
        if let Some(place) = delivery.archived.take() {
            delivery.messages = self.read_again(shard, place, delivery.messages).await?;
        }
        Ok(delivery)
    }

    /// Counts what waits in a mailbox.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn count(&self, username: Username) -> Result<Count, ServiceError> {
        let hash = username.hash();
        let count = |answer| Command::Count(username, hash, answer);
        Ok(self.ask(hash.route().shard(), count).await??)
    }

    /// Looks a message up: in memory first, then in the archive. An ending leaves memory after its
    /// row is durable, so the two steps miss nothing.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn find(&self, id: MessageId) -> Result<Option<Message>, ServiceError> {
        match self
            .ask(id.route().shard(), |answer| Command::Find(id, answer))
            .await??
        {
            Found::Unread(username, message) => Ok(Some(Message::Unread(username, message))),
            Found::Ended(ended) => Ok(Some(Message::Ended(ended))),
            Found::Elsewhere => {
                let row = self.archive.get(id).await.map_err(ServiceError::Archive)?;
                Ok(row.map(Message::Ended))
            }
        }
    }

    /// The messages of an earlier read: those `in_memory` when the shard was asked, the rest from the
    /// archive.
    async fn read_again(
        &self,
        shard: ShardId,
        place: ReadPlace,
        in_memory: Vec<Delivered>,
    ) -> Result<Vec<Delivered>, ServiceError> {
        let ReadPlace {
            username,
            read_at,
            range,
        } = place;
        let rows = self
            .archive
            .read_together(shard, read_at, range, username.as_str())
            .await;
        let mut messages = in_memory;
        for row in rows.map_err(ServiceError::Archive)? {
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

    async fn ask<R>(
        &self,
        shard: ShardId,
        command: impl FnOnce(oneshot::Sender<R>) -> Command,
    ) -> Result<R, ServiceError> {
        let host = self.hosts[shard.index() % self.hosts.len()]
            .get()
            .ok_or(ServiceError::Busy)?;
        let (answer, asker) = oneshot::channel();
        host.try_send(command(answer))
            .map_err(|refused| match refused {
                SendError::Full(_) => ServiceError::Busy,
                SendError::Closed(_) => ServiceError::Busy,
            })?;
        asker.await.map_err(|_| ServiceError::OutcomeUnknown)
    }
}
