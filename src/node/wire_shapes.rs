//! The shapes of calls and answers between nodes, as postcard writes them: the order of fields and variants
//! is the format.

use serde::{Deserialize, Serialize};

use crate::domain::event::TakenRange;
use crate::domain::id::MessageId;
use crate::domain::key::{KeyClaim, KeyKind};
use crate::domain::mailbox::MailboxFull;
use crate::domain::message::{Attributes, Content, End, Ended, Unread};
use crate::domain::time::UnixMs;
use crate::domain::username::Username;
use crate::shard::call::{Delivered, Delivery, Found, ReadPlace, Refusal};

#[derive(Serialize, Deserialize)]
pub(super) enum CallWire<'a> {
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
        is_repeat: bool,
    },
    Count(&'a str),
    Find(MessageId),
}

#[derive(Serialize, Deserialize)]
pub(super) enum AnswerWire<'a> {
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
pub(super) struct KeyWire(bool, [u8; 16], u64);

#[derive(Serialize, Deserialize)]
pub(super) struct DeliveryWire<'a> {
    #[serde(borrow)]
    messages: Vec<(MessageId, ContentWire<'a>)>,
    archived: Option<(&'a str, UnixMs, TakenRange)>,
    replayed: bool,
}

/// Text and attributes.
#[derive(Serialize, Deserialize)]
pub(super) struct ContentWire<'a>(&'a str, Vec<(String, String)>);

#[derive(Serialize, Deserialize)]
pub(super) enum FoundWire<'a> {
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
pub(super) enum RefusalWire {
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
