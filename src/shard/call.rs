//! What can be asked of a shard, what it answers, and why it may refuse.

use tokio::sync::oneshot;

use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::key::KeyClaim;
use crate::domain::mailbox::MailboxFull;
use crate::domain::message::{Content, Ended, Unread};
use crate::domain::time::UnixMs;
use crate::domain::username::{Username, UsernameHash};

/// A message to be accepted.
#[derive(Clone, Debug)]
pub struct Post {
    /// The recipient.
    pub username: Username,
    /// The hash of the recipient's name.
    pub hash: UsernameHash,
    /// Text and attributes.
    pub content: Content,
    /// How long it lives, in milliseconds from its creation; 0 for not at all.
    pub ttl_ms: u64,
    /// The idempotency key.
    pub key: Option<KeyClaim>,
}

/// A message was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: MessageId,
    /// Whether that was at an earlier request with the same key.
    pub replayed: bool,
}

/// A read of a mailbox.
#[derive(Clone, Debug)]
pub struct Take {
    /// Whose mailbox.
    pub username: Username,
    /// The hash of the name.
    pub hash: UsernameHash,
    /// Most messages to deliver.
    pub limit: usize,
    /// The idempotency key.
    pub key: Option<KeyClaim>,
    /// Whether an earlier attempt of the same call may still be on its way.
    pub is_repeat: bool,
}

/// What a read delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The messages, oldest first.
    pub messages: Vec<Delivered>,
    /// For a repeated read whose messages are (in part) in the archive already: where.
    pub archived: Option<ReadPlace>,
    /// Whether this repeats the answer of an earlier request with the same key.
    pub replayed: bool,
}

/// Where the messages of one read lie in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlace {
    /// Whose mailbox it was.
    pub username: Username,
    /// When they were read.
    pub read_at: UnixMs,
    /// Which they are.
    pub range: TakenRange,
}

/// One delivered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its id.
    pub id: MessageId,
    /// Text and attributes.
    pub content: Content,
}

/// What waits in a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages that a read would deliver.
    pub unread: usize,
    /// When the oldest of them was created.
    pub oldest_at: Option<UnixMs>,
}

/// Where a look-up by id ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// In its mailbox.
    Unread(Username, Unread),
    /// Its life is over.
    Ended(Ended),
    /// Not in memory: the archive knows, or nobody.
    Elsewhere,
}

/// The way back for an answer.
pub type Asker<R> = oneshot::Sender<Result<R, Refusal>>;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
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
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The mailbox is at its limit.
    #[error(transparent)]
    MailboxFull(#[from] MailboxFull),
    /// The idempotency key came with another request before.
    #[error(
        "this Idempotency-Key was used for another request within the last 10 minutes; use a new key"
    )]
    KeyReused,
    /// As many keys are remembered as may be.
    #[error(
        "as many idempotency keys are remembered as --idempotency-keys-max allows; repeat later, or without a key"
    )]
    KeysFull,
    /// Memory is at its limit.
    #[error(
        "messages take as much memory as --memory-limit allows; repeat after reads or expiries"
    )]
    MemoryFull,
    /// The disk has no room for posts, or the archive cannot be written.
    #[error("the data directory's disk is full; repeat after space was freed")]
    DiskFull,
    /// This process does not own the shard, or no more.
    #[error("the shard of this username is moving; repeat after the time in Retry-After")]
    NotHere,
    /// What is decided cannot be made durable for now.
    #[error("the store does not answer in time; repeat after the time in Retry-After")]
    StoreAway,
    /// More waits to be committed than may.
    #[error(
        "more requests wait for the disk than it can take; repeat after the time in Retry-After"
    )]
    Overloaded,
}
