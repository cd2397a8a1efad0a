//! What goes over a connection after the handshake: a header of a few bytes, then a payload that only
//! the callers understand.
//!
//! A frame is its length (4 bytes, big-endian), the header by postcard, the payload. A newer version
//! may add kinds and outcomes at the end, and may send them only to a peer that speaks it.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;
use uuid::Uuid;

use super::cut::Cut;
use super::limits::HEADER_BYTES_MAX;
use crate::member::Generation;

/// Names one operation, however often it is tried and by whom: the owner answers the same one the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpId(pub [u8; 16]);

impl From<Uuid> for OpId {
    fn from(id: Uuid) -> OpId {
        OpId(id.into_bytes())
    }
}

/// Who a caller is told to ask instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which start of which node.
    pub generation: Generation,
    /// Where it is reached, `host:port`.
    pub address: String,
}

impl Owner {
    pub(super) fn encode(owner: Option<&Owner>) -> Vec<u8> {
        let wire = owner.map(|owner| (owner.generation.0.into_bytes(), owner.address.as_str()));
        postcard::to_allocvec(&wire).expect("a vector takes every owner")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Owner>, Cut> {
        type Wire<'a> = Option<([u8; 16], &'a str)>;
        let wire: Wire<'_> = postcard::from_bytes(bytes).map_err(|_| Cut::Garbage)?;
        Ok(wire.map(|(generation, address)| Owner {
            generation: Generation(Uuid::from_bytes(generation)),
            address: address.to_owned(),
        }))
    }
}

/// What a frame is. `id` is the caller's number for what it waits for, free again after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Header {
    /// Wants an answer.
    Call {
        id: u32,
        op: OpId,
        remaining_ms: u32,
    },
    /// One of a row of calls that together carry what is too large for one.
    Piece {
        id: u32,
        op: OpId,
        remaining_ms: u32,
        sequence: u32,
        is_last: bool,
    },
    /// Wants none.
    Notice,
    /// Is answered by the connection itself.
    Ping { id: u32 },
    /// Answers a call, a piece or a ping.
    Answer { id: u32, outcome: Outcome },
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// The payload is the answer.
    Done,
    /// Nothing was done; the payload names the owner, if known.
    NotOwner,
    /// Nothing was done.
    Draining,
    /// Nothing was done.
    Overloaded,
    /// The deadline passed first; something may have been done.
    Late,
    /// Something may have been done, and the answer does not fit into a frame.
    TooLong,
}

/// Cuts a stream of bytes into frames.
pub(super) fn codec(frame_bytes_max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(frame_bytes_max)
        .new_codec()
}

/// Appends one frame. Written by hand, as the codec would want header and payload as one piece first.
pub(super) fn encode(buffer: &mut Vec<u8>, header: &Header, payload: &[u8]) {
    let mut head = [0; HEADER_BYTES_MAX];
    let head = postcard::to_slice(header, &mut head).expect("no header is over 64 bytes");
    append(buffer, head, payload);
}

/// Appends the frame that holds these two parts, one after the other.
pub(super) fn append(buffer: &mut Vec<u8>, head: &[u8], payload: &[u8]) {
    let length = u32::try_from(head.len() + payload.len()).expect("callers keep to the bound");
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(head);
    buffer.extend_from_slice(payload);
}

/// Takes a frame apart.
///
/// # Errors
/// [`Cut::Garbage`] for a header that is none.
pub(super) fn decode(frame: BytesMut) -> Result<(Header, Bytes), Cut> {
    let mut frame = frame.freeze();
    let (header, rest) = postcard::take_from_bytes(&frame).map_err(|_| Cut::Garbage)?;
    let head = frame.len() - rest.len();
    frame.advance(head);
    Ok((header, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::codec::Decoder;

    #[test]
    fn the_largest_header_fits_and_comes_back_with_its_payload() {
        let header = Header::Piece {
            id: u32::MAX,
            op: OpId([255; 16]),
            remaining_ms: u32::MAX,
            sequence: u32::MAX,
            is_last: true,
        };
        let mut buffer = Vec::new();
        encode(&mut buffer, &header, b"payload");

        let mut bytes = BytesMut::from(&buffer[..]);
        let frame = codec(1024).decode(&mut bytes).expect("in bounds");
        let (decoded, payload) = decode(frame.expect("whole")).expect("a header");

        assert_eq!((decoded, &payload[..]), (header, &b"payload"[..]));
        assert!(bytes.is_empty());
    }

    #[test]
    fn an_owner_comes_back_and_so_does_none() {
        let owner = Owner {
            generation: Generation(Uuid::from_u128(7)),
            address: "10.0.0.7:7000".into(),
        };
        for owner in [Some(owner), None] {
            let decoded = Owner::decode(&Owner::encode(owner.as_ref()));
            assert_eq!(decoded.expect("what was encoded"), owner);
        }
    }
}
