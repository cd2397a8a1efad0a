//! The use cases: what a client can ask of the service.
//!
//! Each call finds the shard by the username or the id, sends it a command, and waits for the answer,
//! which comes when what it depends on is durable. What is no longer in memory is asked of the
//! archive. Nothing here knows HTTP.

use std::sync::Arc;

use crate::domain::id::MessageId;
use crate::domain::message::{End, Ended, Unread};
use crate::domain::username::{ShardId, Username};
use crate::shard::call::{
    Accepted, CallError, Count, Delivered, Delivery, Found, Post, ReadPlace, Take,
};
use crate::shard::hosts::Hosts;
use crate::store::StoreError;
use crate::store::archive::Archive;

/// The service as every HTTP worker sees it; cheap to clone.
#[derive(Debug)]
pub struct Service<A> {
    hosts: Hosts,
    archive: Arc<A>,
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
    /// A service over these hosts and this archive.
    pub fn new(hosts: Hosts, archive: Arc<A>) -> Service<A> {
        Service { hosts, archive }
    }

    /// Accepts a message.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn post(&self, post: Post) -> Result<Accepted, ServiceError> {
        Ok(self.hosts.post(post).await?)
    }

    /// Delivers the oldest messages of a mailbox, which are thereby expired.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn take(&self, take: Take) -> Result<Delivery, ServiceError> {
        let shard = take.hash.route().shard();
        let mut delivery = self.hosts.take(take).await?;
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
        Ok(self.hosts.count(username).await?)
    }

    /// Looks a message up: in memory first, then in the archive. An ending leaves memory after its
    /// row is durable, so the two steps miss nothing.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn find(&self, id: MessageId) -> Result<Option<Message>, ServiceError> {
        match self.hosts.find(id).await? {
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
}
