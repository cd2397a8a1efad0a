//! Idempotency keys: what a repeated request is recognised by, a client's or a node's.
//!
//! Only hashes are kept. They are SHA-256 cut short, so that nobody can craft a request that is
//! taken for somebody else's repeat.

use sha2::{Digest, Sha256};

use super::username::Username;

/// How long a key of a client is remembered, in milliseconds.
pub const KEY_WINDOW_MS: u64 = 10 * 60 * 1_000;

/// How long the id of a forwarded call is remembered, in milliseconds: twice the longest deadline of a call,
/// and longer than a connection is kept on which nothing comes.
pub const CALL_WINDOW_MS: u64 = 60 * 1_000;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// What a key is scoped by, besides the username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Posting a message.
    Post,
    /// Posting the message at this place of a bulk.
    PostInBulk(u16),
    /// Reading a mailbox.
    Read,
}

/// Who made a key, and so how long it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A client: ten minutes.
    Client,
    /// The node that forwarded a call: a minute.
    Call,
}

impl KeyKind {
    /// How long such a key is remembered, in milliseconds.
    pub fn window_ms(self) -> u64 {
        match self {
            KeyKind::Client => KEY_WINDOW_MS,
            KeyKind::Call => CALL_WINDOW_MS,
        }
    }
}

/// A key as it is remembered: 128 bits for (operation, username, key), 64 for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// Who made it.
    pub kind: KeyKind,
    /// Hash of operation, username and key.
    pub hash: [u8; 16],
    /// Hash of the rest of the request: another one under the same key is a mistake of the client.
    pub body: u64,
}

impl KeyClaim {
    /// The claim of `key` (1 to 255 bytes) for one operation on one mailbox, with the fields of the
    /// request in a fixed order.
    pub fn new<'a>(
        operation: Operation,
        username: &Username,
        key: &[u8],
        fields: impl IntoIterator<Item = &'a [u8]>,
    ) -> KeyClaim {
        let (scope, place) = match operation {
            Operation::Post => (b"post".as_slice(), None),
            Operation::PostInBulk(place) => (b"bulk".as_slice(), Some(place.to_be_bytes())),
            Operation::Read => (b"read".as_slice(), None),
        };
        let name = [scope, username.as_str().as_bytes(), key].into_iter();
        let name = digest(name.chain(place.as_ref().map(<[u8; 2]>::as_slice)));
        let body = digest(fields);
        KeyClaim {
            kind: KeyKind::Client,
            hash: first_bytes(&name),
            body: u64::from_be_bytes(first_bytes(&body)),
        }
    }

    /// Whether a client made it.
    pub fn is_of_client(&self) -> bool {
        self.kind == KeyKind::Client
    }

    /// The claim of a forwarded call by its id, which is drawn at random: a repeat of the call is the
    /// same request.
    pub fn of_call(id: [u8; 16]) -> KeyClaim {
        KeyClaim {
            kind: KeyKind::Call,
            hash: id,
            body: 0,
        }
    }
}

/// How events hold a key that may be missing.
pub(super) mod stored {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{KeyClaim, KeyKind};

    #[derive(Serialize, Deserialize)]
    enum Stored {
        None,
        Client { hash: [u8; 16], body: u64 },
        Call { id: [u8; 16] },
    }

    pub fn serialize<S: Serializer>(key: &Option<KeyClaim>, to: S) -> Result<S::Ok, S::Error> {
        let stored = match *key {
            None => Stored::None,
            Some(KeyClaim { kind, hash, body }) => match kind {
                KeyKind::Client => Stored::Client { hash, body },
                KeyKind::Call => Stored::Call { id: hash },
            },
        };
        stored.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<KeyClaim>, D::Error> {
        Ok(match Stored::deserialize(from)? {
            Stored::None => None,
            Stored::Client { hash, body } => Some(KeyClaim {
                kind: KeyKind::Client,
                hash,
                body,
            }),
            Stored::Call { id } => Some(KeyClaim::of_call(id)),
        })
    }
}

/// SHA-256 over fields, each behind its length, so that no two lists of fields look alike.
fn digest<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

fn first_bytes<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(operation: Operation, name: &str, key: &[u8], fields: &[&[u8]]) -> KeyClaim {
        KeyClaim::new(
            operation,
            &Username::from_stored(name),
            key,
            fields.iter().copied(),
        )
    }

    #[test]
    fn a_key_is_scoped_by_operation_and_username() {
        let post = claim(Operation::Post, "a", b"k", &[b"x"]);
        assert_eq!(post, claim(Operation::Post, "a", b"k", &[b"x"]));
        assert_ne!(post.hash, claim(Operation::Read, "a", b"k", &[b"x"]).hash);
        assert_ne!(post.hash, claim(Operation::Post, "b", b"k", &[b"x"]).hash);
        assert_ne!(post.hash, claim(Operation::Post, "a", b"l", &[b"x"]).hash);
        assert_ne!(
            claim(Operation::Post, "ab", b"c", &[]).hash,
            claim(Operation::Post, "a", b"bc", &[]).hash
        );
    }

    #[test]
    fn a_key_of_a_bulk_is_another_for_each_place_and_none_of_a_single_post() {
        let hash = |place, key| claim(Operation::PostInBulk(place), "a", key, &[]).hash;
        assert_eq!(hash(1, b"k"), hash(1, b"k"));
        assert_ne!(hash(0, b"k"), hash(1, b"k"));
        assert_ne!(hash(1, b"k"), hash(256, b"k"));
        assert_ne!(hash(0, b"k"), claim(Operation::Post, "a", b"k", &[]).hash);
        // The end of the key is not taken for the place.
        assert_ne!(hash(0x6b6b, b"k"), hash(0x6b, b"kk"));
    }

    #[test]
    fn another_body_under_the_same_key_is_seen() {
        let one = claim(Operation::Post, "a", b"k", &[b"x", b"y"]);
        let other = claim(Operation::Post, "a", b"k", &[b"xy", b""]);
        assert_eq!(one.hash, other.hash);
        assert_ne!(one.body, other.body);
    }
}
