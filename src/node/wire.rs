//! Calls of shards and their answers as bytes between nodes (postcard; see `docs/FORMAT.md`).
//!
//! What comes from a peer is checked like any input: bytes that do not read are refused, and nothing
//! is done.

use serde::{Deserialize, Serialize};

use super::wire_shapes::{AnswerWire, CallWire, KeyWire};
use crate::domain::id::MessageId;
use crate::domain::key::KeyClaim;
use crate::domain::limits::{CLUSTER_TEXT_BYTES_HIGHEST, TIMEOUT_SECS_HIGHEST};
use crate::domain::message::{Attributes, Content};
use crate::domain::username::{ShardId, Username, UsernameHash};
use crate::shard::call::{Accepted, CallError, Count, Delivery, Found, Post, Take};

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

    /// The same call, of which an earlier attempt may still be on its way.
    pub fn repeated(mut self) -> Call {
        if let Call::Take(Take { is_repeat, .. }) = &mut self {
            *is_repeat = true;
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
                is_repeat: take.is_repeat,
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
                // More than any node may be set to allow, and than a shard can hold.
                if ttl_ms > TIMEOUT_SECS_HIGHEST * 1_000 || text.len() > CLUSTER_TEXT_BYTES_HIGHEST
                {
                    return Err(Unreadable);
                }
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
                is_repeat,
            } => {
                let username = Username::from_stored(username);
                let hash = username.hash();
                Call::Take(Take {
                    username,
                    hash,
                    limit: usize::try_from(limit).unwrap_or(usize::MAX),
                    key: key.map(KeyClaim::from),
                    is_repeat,
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

/// Room for most calls and answers, so that few vectors grow.
const USUAL_BYTES: usize = 256;

/// Serializes as postcard.
pub(super) fn encode(wire: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(wire, Vec::with_capacity(USUAL_BYTES))
        .expect("a vector takes every byte and the format every value")
}

/// Reads postcard that fills `bytes` exactly.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unreadable> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Unreadable),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
