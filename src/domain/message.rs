//! What a message carries, and what becomes of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::MessageId;
use super::time::UnixMs;
use super::username::Username;

/// Up to 16 pairs of strings that come with a message, in the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes(pub Vec<(String, String)>);

impl Attributes {
    /// Bytes of names and values together.
    pub fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

/// The text of a message with its attributes: shared between the shard, an answer under way and the
/// archive, never copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    text: Arc<str>,
    attributes: Option<Arc<Attributes>>,
}

impl Content {
    /// Content of `text` with `attributes`, which are usually none.
    pub fn new(text: &str, attributes: Attributes) -> Content {
        let attributes = (!attributes.0.is_empty()).then(|| Arc::new(attributes));
        Content {
            text: text.into(),
            attributes,
        }
    }

    /// The text, 1 byte to `text_bytes_max`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attributes as pairs of name and value.
    pub fn attributes(&self) -> &[(String, String)] {
        self.attributes
            .as_ref()
            .map_or(&[], |attributes| &attributes.0)
    }

    /// Bytes of text and attributes.
    pub fn bytes(&self) -> usize {
        self.text.len()
            + self
                .attributes
                .as_ref()
                .map_or(0, |attributes| attributes.bytes())
    }
}

/// A message that waits in its mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its id, which also tells when it was created.
    pub id: MessageId,
    /// The moment from which it counts as expired.
    pub expires_at: UnixMs,
    /// Text and attributes.
    pub content: Content,
}

impl Unread {
    /// Whether its life is over at `now`: exactly at its deadline it is.
    pub fn is_expired(&self, now: UnixMs) -> bool {
        self.expires_at <= now
    }
}

/// How a message's life ended. The numbers are part of the archive's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Delivered by a read.
    Read,
    /// Its deadline passed unread.
    Expired,
}

/// A message whose life is over: it can only be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub id: MessageId,
    /// Who it was for.
    pub username: Username,
    /// Text and attributes.
    pub content: Content,
    /// When it ended: the time of the read, or its deadline.
    pub ended_at: UnixMs,
    /// How it ended.
    pub end: End,
}

impl Ended {
    /// A message that ended by its deadline.
    pub fn expired(message: Unread, username: &Username) -> Ended {
        let Unread {
            id,
            expires_at,
            content,
        } = message;
        Ended {
            id,
            username: username.clone(),
            content,
            ended_at: expires_at,
            end: End::Expired,
        }
    }

    /// A message that was delivered at `read_at`.
    pub fn read(message: Unread, username: &Username, read_at: UnixMs) -> Ended {
        let Unread { id, content, .. } = message;
        Ended {
            id,
            username: username.clone(),
            content,
            ended_at: read_at,
            end: End::Read,
        }
    }
}
