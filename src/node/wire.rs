//! Calls of shards and their answers as bytes between nodes (postcard; see `docs/FORMAT.md`).
//!
//! What comes from a peer is checked like any input: bytes that do not read are refused, and nothing
//! is done.

use serde::{Deserialize, Serialize};

use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::key::{KeyClaim, KeyKind};
use crate::domain::mailbox::MailboxFull;
use crate::domain::message::{Attributes, Content, End, Ended, Unread};
use crate::domain::time::UnixMs;
use crate::domain::username::{ShardId, Username, UsernameHash};
use crate::shard::call::{
    Accepted, CallError, Count, Delivered, Delivery, Found, Post, ReadPlace, Refusal, Take,
};

/// What can be asked of a shard, wherever it is.
#[derive(Clone, Debug)]
pub enum Call {
    /// Accept a message.
    Post(Post),
    /// Deliver a mailbox's oldest messages.
    Take(Take),
    /// Count a mailbox.
    Count(Username, UsernameHash),
    /// Look a message up.
    Find(MessageId),
}

/// What a shard answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a post.
    Accepted(Accepted),
    /// To a read.
    Delivered(Delivery),
    /// To a count.
    Counted(Count),
    /// To a look-up.
    Found(Found),
}

/// Bytes of a peer that are no call or no answer of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a peer sent what this version does not read; let all nodes run one version")]
pub struct Unreadable;

impl Call {
    /// Whose it is.
    pub fn shard(&self) -> ShardId {
        let route = match self {
            Call::Post(post) => post.hash.route(),
            Call::Take(take) => take.hash.route(),
            Call::Count(_, hash) => hash.route(),
            Call::Find(id) => id.route(),
        };
        route.shard()
    }

    /// Whether a repeat of it would be answered the same, or changes nothing.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Call::Post(Post { key, .. }) | Call::Take(Take { key, .. }) => key.is_some(),
            Call::Count(..) | Call::Find(_) => true,
        }
    }

    /// The same call, known by `id` when it is repeated, if it has no key of a client.
    pub fn known_by(mut self, id: [u8; 16]) -> Call {
        if let Call::Post(Post { key, .. }) | Call::Take(Take { key, .. }) = &mut self {
            key.get_or_insert(KeyClaim::of_call(id));
        }
        self
    }

    /// The call as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let wire = match self {
            Call::Post(post) => CallWire::Post {
                username: post.username.as_str(),
                text: post.content.text(),
                attributes: post.content.attributes().to_vec(),
                ttl_ms: post.ttl_ms,
                key: post.key.map(KeyWire::from),
            },
            Call::Take(take) => CallWire::Take {
                username: take.username.as_str(),
                limit: take.limit as u64,
                key: take.key.map(KeyWire::from),
            },
            Call::Count(username, _) => CallWire::Count(username.as_str()),
            Call::Find(id) => CallWire::Find(*id),
        };
        encode(&wire)
    }

    /// Reads a call.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn decode(bytes: &[u8]) -> Result<Call, Unreadable> {
        Ok(match decode(bytes)? {
            CallWire::Post {
                username,
                text,
                attributes,
                ttl_ms,
                key,
            } => {
                let username = Username::from_stored(username);
                let hash = username.hash();
                Call::Post(Post {
                    username,
                    hash,
                    content: Content::new(text, Attributes(attributes)),
                    ttl_ms,
                    key: key.map(KeyClaim::from),
                })
            }
            CallWire::Take {
                username,
                limit,
                key,
            } => {
                let username = Username::from_stored(username);
                let hash = username.hash();
                Call::Take(Take {
                    username,
                    hash,
                    limit: usize::try_from(limit).unwrap_or(usize::MAX),
                    key: key.map(KeyClaim::from),
                })
            }
            CallWire::Count(username) => {
                let username = Username::from_stored(username);
                let hash = username.hash();
                Call::Count(username, hash)
            }
            CallWire::Find(id) => Call::Find(id),
        })
    }
}

impl Answer {
    /// An answer, or why there is none, as bytes.
    pub fn encode(answer: &Result<Answer, CallError>) -> Vec<u8> {
        encode(&match answer {
            Ok(Answer::Accepted(Accepted { id, replayed })) => AnswerWire::Accepted(*id, *replayed),
            Ok(Answer::Delivered(delivery)) => AnswerWire::Delivered(delivery.into()),
            Ok(Answer::Counted(Count { unread, oldest_at })) => {
                AnswerWire::Counted(*unread as u64, *oldest_at)
            }
            Ok(Answer::Found(found)) => AnswerWire::Found(found.into()),
            Err(CallError::Refused(refusal)) => AnswerWire::Refused((*refusal).into()),
            Err(CallError::Busy) => AnswerWire::Busy,
            Err(CallError::OutcomeUnknown) => AnswerWire::OutcomeUnknown,
        })
    }

    /// Reads an answer, or why there is none.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn decode(bytes: &[u8]) -> Result<Result<Answer, CallError>, Unreadable> {
        Ok(match decode(bytes)? {
            AnswerWire::Accepted(id, replayed) => Ok(Answer::Accepted(Accepted { id, replayed })),
            AnswerWire::Delivered(delivery) => Ok(Answer::Delivered(delivery.into())),
            AnswerWire::Counted(unread, oldest_at) => Ok(Answer::Counted(Count {
                unread: unread as usize,
                oldest_at,
            })),
            AnswerWire::Found(found) => Ok(Answer::Found(found.into())),
            AnswerWire::Refused(refusal) => Err(CallError::Refused(refusal.into())),
            AnswerWire::Busy => Err(CallError::Busy),
            AnswerWire::OutcomeUnknown => Err(CallError::OutcomeUnknown),
        })
    }
}

/// Serializes as postcard.
pub(super) fn encode(wire: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(wire).expect("a vector takes every byte and the format every value")
}

/// Reads postcard that fills `bytes` exactly.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unreadable> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Unreadable),
    }
}

#[derive(Serialize, Deserialize)]
enum CallWire<'a> {
    Post {
        username: &'a str,
        text: &'a str,
        attributes: Vec<(String, String)>,
        ttl_ms: u64,
        key: Option<KeyWire>,
    },
    Take {
        username: &'a str,
        limit: u64,
        key: Option<KeyWire>,
    },
    Count(&'a str),
    Find(MessageId),
}

#[derive(Serialize, Deserialize)]
enum AnswerWire<'a> {
    Accepted(MessageId, bool),
    #[serde(borrow)]
    Delivered(DeliveryWire<'a>),
    Counted(u64, Option<UnixMs>),
    #[serde(borrow)]
    Found(FoundWire<'a>),
    Refused(RefusalWire),
    Busy,
    OutcomeUnknown,
}

/// A key: whether it is a client's, its hash, and the hash of the request.
#[derive(Serialize, Deserialize)]
struct KeyWire(bool, [u8; 16], u64);

#[derive(Serialize, Deserialize)]
struct DeliveryWire<'a> {
    #[serde(borrow)]
    messages: Vec<(MessageId, ContentWire<'a>)>,
    archived: Option<(&'a str, UnixMs, TakenRange)>,
    replayed: bool,
}

/// Text and attributes.
#[derive(Serialize, Deserialize)]
struct ContentWire<'a>(&'a str, Vec<(String, String)>);

#[derive(Serialize, Deserialize)]
enum FoundWire<'a> {
    Unread(&'a str, MessageId, UnixMs, #[serde(borrow)] ContentWire<'a>),
    Ended(
        &'a str,
        MessageId,
        UnixMs,
        #[serde(borrow)] ContentWire<'a>,
        End,
    ),
    Elsewhere,
}

#[derive(Serialize, Deserialize)]
enum RefusalWire {
    MailboxFull { messages_max: u64, bytes_max: u64 },
    KeyReused,
    KeysFull,
    MemoryFull,
    DiskFull,
    NotHere,
    StoreAway,
    Overloaded,
}

impl From<KeyClaim> for KeyWire {
    fn from(key: KeyClaim) -> KeyWire {
        KeyWire(key.is_of_client(), key.hash, key.body)
    }
}

impl From<KeyWire> for KeyClaim {
    fn from(KeyWire(is_client, hash, body): KeyWire) -> KeyClaim {
        let kind = if is_client {
            KeyKind::Client
        } else {
            KeyKind::Call
        };
        KeyClaim { kind, hash, body }
    }
}

impl<'a> From<&'a Content> for ContentWire<'a> {
    fn from(content: &'a Content) -> ContentWire<'a> {
        ContentWire(content.text(), content.attributes().to_vec())
    }
}

impl From<ContentWire<'_>> for Content {
    fn from(ContentWire(text, attributes): ContentWire<'_>) -> Content {
        Content::new(text, Attributes(attributes))
    }
}

impl<'a> From<&'a Delivery> for DeliveryWire<'a> {
    fn from(delivery: &'a Delivery) -> DeliveryWire<'a> {
        let messages = delivery.messages.iter();
        DeliveryWire {
            messages: messages.map(|m| (m.id, (&m.content).into())).collect(),
            archived: delivery
                .archived
                .as_ref()
                .map(|place| (place.username.as_str(), place.read_at, place.range)),
            replayed: delivery.replayed,
        }
    }
}

impl From<DeliveryWire<'_>> for Delivery {
    fn from(wire: DeliveryWire<'_>) -> Delivery {
        let delivered = |(id, content): (MessageId, ContentWire<'_>)| Delivered {
            id,
            content: content.into(),
        };
        Delivery {
            messages: wire.messages.into_iter().map(delivered).collect(),
            archived: wire.archived.map(|(username, read_at, range)| ReadPlace {
                username: Username::from_stored(username),
                read_at,
                range,
            }),
            replayed: wire.replayed,
        }
    }
}

impl<'a> From<&'a Found> for FoundWire<'a> {
    fn from(found: &'a Found) -> FoundWire<'a> {
        match found {
            Found::Unread(username, unread) => FoundWire::Unread(
                username.as_str(),
                unread.id,
                unread.expires_at,
                (&unread.content).into(),
            ),
            Found::Ended(ended) => FoundWire::Ended(
                ended.username.as_str(),
                ended.id,
                ended.ended_at,
                (&ended.content).into(),
                ended.end,
            ),
            Found::Elsewhere => FoundWire::Elsewhere,
        }
    }
}

impl From<FoundWire<'_>> for Found {
    fn from(wire: FoundWire<'_>) -> Found {
        match wire {
            FoundWire::Unread(username, id, expires_at, content) => Found::Unread(
                Username::from_stored(username),
                Unread {
                    id,
                    expires_at,
                    content: content.into(),
                },
            ),
            FoundWire::Ended(username, id, ended_at, content, end) => Found::Ended(Ended {
                id,
                username: Username::from_stored(username),
                content: content.into(),
                ended_at,
                end,
            }),
            FoundWire::Elsewhere => Found::Elsewhere,
        }
    }
}

impl From<Refusal> for RefusalWire {
    fn from(refusal: Refusal) -> RefusalWire {
        match refusal {
            Refusal::MailboxFull(full) => RefusalWire::MailboxFull {
                messages_max: full.messages_max as u64,
                bytes_max: full.bytes_max as u64,
            },
            Refusal::KeyReused => RefusalWire::KeyReused,
            Refusal::KeysFull => RefusalWire::KeysFull,
            Refusal::MemoryFull => RefusalWire::MemoryFull,
            Refusal::DiskFull => RefusalWire::DiskFull,
            Refusal::NotHere => RefusalWire::NotHere,
            Refusal::StoreAway => RefusalWire::StoreAway,
            Refusal::Overloaded => RefusalWire::Overloaded,
        }
    }
}

impl From<RefusalWire> for Refusal {
    fn from(wire: RefusalWire) -> Refusal {
        match wire {
            RefusalWire::MailboxFull {
                messages_max,
                bytes_max,
            } => Refusal::MailboxFull(MailboxFull {
                messages_max: messages_max as usize,
                bytes_max: bytes_max as usize,
            }),
            RefusalWire::KeyReused => Refusal::KeyReused,
            RefusalWire::KeysFull => Refusal::KeysFull,
            RefusalWire::MemoryFull => Refusal::MemoryFull,
            RefusalWire::DiskFull => Refusal::DiskFull,
            RefusalWire::NotHere => Refusal::NotHere,
            RefusalWire::StoreAway => Refusal::StoreAway,
            RefusalWire::Overloaded => Refusal::Overloaded,
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
