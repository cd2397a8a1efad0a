//! What happened to a shard, as its journal records it: the only way its state changes.
//!
//! An event is decided by a mailbox, applied to memory, and made durable before anyone is told.
//! Recovery applies the same events again, so both paths are one piece of code. Every event comes
//! with the shard's time, and **time itself is a fact**: whatever is due by an event's time is
//! expired for ever, so that single expiries need no events of their own.
//!
//! Encoded with postcard (see `docs/FORMAT.md`): the tag is the variant's place in this enum. New
//! kinds of event go to the end and never change; the tags 16 to 31 are set aside for leases,
//! revocation, changes and scheduled delivery.

use serde::{Deserialize, Serialize};

use super::id::MessageId;
use super::key::{KeyClaim, stored};
use super::message::Attributes;
use super::time::UnixMs;

/// One change of a shard's state, borrowing from the request or the journal it is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event<'a> {
    /// A message was accepted.
    #[serde(borrow)]
    Posted(Posted<'a>),
    /// Messages were delivered by one read and are thereby expired.
    #[serde(borrow)]
    Taken(Taken<'a>),
    /// Time passed: what is due by the event's time is expired.
    Advanced,
    /// The archive holds every message of this shard that ended at or before `through`.
    Archived {
        /// A time at or before the event's own.
        through: UnixMs,
    },
    /// An unread message was recorded again, so that the journal can let go of where it was.
    #[serde(borrow)]
    Kept(Kept<'a>),
}

/// A message was accepted; with a deadline at or before the event's time it was never in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted<'a> {
    /// Who it is for.
    pub username: &'a str,
    /// Its id.
    pub id: MessageId,
    /// Its deadline.
    pub expires_at: UnixMs,
    /// Its text.
    pub text: &'a str,
    /// Its attributes, usually none.
    pub attributes: Attributes,
    /// The idempotency key it came with.
    #[serde(with = "stored")]
    pub key: Option<KeyClaim>,
}

/// A message that is unread at the event's time, as it was posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept<'a> {
    /// Who it is for.
    pub username: &'a str,
    /// Its id.
    pub id: MessageId,
    /// Its deadline.
    pub expires_at: UnixMs,
    /// Its text.
    pub text: &'a str,
    /// Its attributes, usually none.
    pub attributes: Attributes,
}

/// A read was decided: every message of the mailbox in `range` that is not expired is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken<'a> {
    /// Whose mailbox.
    pub username: &'a str,
    /// What was delivered; `None` for an empty read, recorded only with a key.
    pub range: Option<TakenRange>,
    /// The idempotency key it came with.
    #[serde(with = "stored")]
    pub key: Option<KeyClaim>,
}

/// Consecutive messages of one mailbox, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenRange {
    /// Id of the oldest.
    pub first: MessageId,
    /// Id of the youngest.
    pub last: MessageId,
    /// How many they are.
    pub count: u32,
}

/// Longest encoding of an event without its text, attributes and username, in bytes.
const FIXED_BYTES: usize = 128;

impl Event<'_> {
    /// Appends the encoded event to `buffer`.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(FIXED_BYTES);
        let taken = postcard::to_extend(self, std::mem::take(buffer));
        *buffer = taken.expect("a vector takes every byte and the format takes every event");
    }

    /// Bytes of the text and attributes that it carries.
    pub fn content_bytes(&self) -> usize {
        match self {
            Event::Posted(posted) => posted.text.len() + posted.attributes.bytes(),
            Event::Kept(kept) => kept.text.len() + kept.attributes.bytes(),
            Event::Taken(_) | Event::Advanced | Event::Archived { .. } => 0,
        }
    }
}

impl<'a> Event<'a> {
    /// Reads one event that fills `bytes` exactly.
    ///
    /// # Errors
    /// [`UnknownEvent`] when the bytes are no event that this version knows.
    pub fn decode(bytes: &'a [u8]) -> Result<Event<'a>, UnknownEvent> {
        match postcard::take_from_bytes(bytes) {
            Ok((event, [])) => Ok(event),
            _ => Err(UnknownEvent {
                tag: bytes.first().copied(),
            }),
        }
    }
}

/// Bytes that passed their checksum but are no event of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "event with tag {tag:?} is not known to this version; start the version that wrote it, or a newer one"
)]
pub struct UnknownEvent {
    /// The first byte, if there is one.
    pub tag: Option<u8>,
}

#[cfg(test)]
mod tests {
    use super::super::id::IdStamp;
    use super::super::key::KeyKind;
    use super::super::username::Route;
    use super::*;

    fn id(counter: u16) -> MessageId {
        MessageId::new(
            IdStamp {
                ms: UnixMs(1_700_000_000_000),
                counter,
            },
            Route(0x123),
            42,
        )
    }

    fn events() -> Vec<Event<'static>> {
        let key = KeyClaim {
            kind: KeyKind::Client,
            hash: [7; 16],
            body: 9,
        };
        let range = TakenRange {
            first: id(1),
            last: id(2),
            count: 2,
        };
        let attributes = Attributes(vec![("city".into(), "New York".into())]);
        vec![
            Event::Posted(Posted {
                username: "alice",
                id: id(1),
                expires_at: UnixMs(1_700_000_060_000),
                text: "hi\0 there",
                attributes: attributes.clone(),
                key: Some(key),
            }),
            Event::Taken(Taken {
                username: "alice",
                range: Some(range),
                key: None,
            }),
            Event::Taken(Taken {
                username: "alice",
                range: None,
                key: Some(key),
            }),
            Event::Taken(Taken {
                username: "alice",
                range: None,
                key: Some(KeyClaim::of_call([9; 16])),
            }),
            Event::Advanced,
            Event::Archived { through: UnixMs(5) },
            Event::Kept(Kept {
                username: "alice",
                id: id(1),
                expires_at: UnixMs(1_700_000_060_000),
                text: "hi\0 there",
                attributes,
            }),
        ]
    }

    #[test]
    fn every_event_reads_back_as_it_was_written() {
        for event in events() {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            assert_eq!(Event::decode(&bytes), Ok(event));
        }
    }

    #[test]
    fn an_event_cut_short_or_with_bytes_behind_it_is_refused() {
        for event in events() {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            for length in 0..bytes.len() {
                assert!(
                    Event::decode(&bytes[..length]).is_err(),
                    "{event:?} cut at {length}"
                );
            }
            bytes.push(0);
            assert!(
                Event::decode(&bytes).is_err(),
                "{event:?} with a byte behind it"
            );
        }
    }

    #[test]
    fn each_event_has_the_tag_that_the_format_names() {
        for (event, tag) in events().iter().zip([0, 1, 1, 1, 2, 3, 4]) {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            assert_eq!(bytes[0], tag, "{event:?}");
        }
    }

    #[test]
    fn an_event_of_a_later_version_is_refused_by_its_tag() {
        assert_eq!(Event::decode(&[16, 0]), Err(UnknownEvent { tag: Some(16) }));
    }
}
