//! Writing answers: messages as JSON, by hand, and large ones in pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use crate::domain::id::MessageId;
use crate::domain::message::{Content, End};
use crate::domain::time::UnixMs;
use crate::service::Message;
use crate::shard::call::Delivered;

/// Bytes of an answer that are in memory at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes that one delivered message takes besides its text and attributes.
const DELIVERED_BYTES: usize = 128;

/// Appends `text` as a JSON string.
pub fn put_json_string(json: &mut Vec<u8>, text: &str) {
    let written = serde_json::to_writer(&mut *json, text);
    assert!(written.is_ok(), "a vector takes every byte");
}

/// `{"id":"…"}`
pub fn id_json(id: MessageId) -> Vec<u8> {
    let mut json = Vec::with_capacity(45);
    put_id(&mut json, id);
    json
}

/// Appends `{"id":"…"}`.
pub fn put_id(json: &mut Vec<u8>, id: MessageId) {
    json.extend_from_slice(b"{\"id\":\"");
    json.extend_from_slice(&id.text());
    json.extend_from_slice(b"\"}");
}

/// A message as a look-up answers it.
pub fn message_json(message: &Message) -> Vec<u8> {
    let (id, username, content, expires_at, state) = match message {
        Message::Unread(username, unread) => (
            unread.id,
            username,
            &unread.content,
            unread.expires_at,
            "unread",
        ),
        Message::Ended(ended) => {
            let state = match ended.end {
                End::Read => "read",
                End::Expired => "expired",
            };
            (
                ended.id,
                &ended.username,
                &ended.content,
                ended.ended_at,
                state,
            )
        }
    };
    let mut json = Vec::with_capacity(content.bytes() + 384);
    put_start(&mut json, id);
    json.extend_from_slice(b",\"username\":");
    put_json_string(&mut json, username.as_str());
    put_text(&mut json, content);
    json.extend_from_slice(b",\"expiration_date\":\"");
    json.extend_from_slice(&expires_at.expiration_date());
    json.push(b'"');
    put_time(&mut json, "expires_at", expires_at);
    put_time(&mut json, "created_at", id.created_at());
    json.extend_from_slice(b",\"state\":\"");
    json.extend_from_slice(state.as_bytes());
    json.push(b'"');
    if state == "read" {
        put_time(&mut json, "read_at", expires_at);
    }
    put_attributes(&mut json, content);
    json.push(b'}');
    json
}

/// The messages of one read as a JSON array: written at once when small, else piece by piece, so
/// that the largest mailbox never stands in memory twice.
#[derive(Debug)]
pub struct DeliveryBody {
    messages: IntoIter<Delivered>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Start,
    Middle,
    End,
}

impl DeliveryBody {
    /// The body for `messages`; `Ok` is the whole of it, where that is small.
    pub fn new(messages: Vec<Delivered>) -> Result<Vec<u8>, DeliveryBody> {
        let bytes: usize = messages
            .iter()
            .map(|message| message.content.bytes() + DELIVERED_BYTES)
            .sum();
        let mut body = DeliveryBody {
            messages: messages.into_iter(),
            state: State::Start,
        };
        if bytes <= PIECE_BYTES {
            Ok(body.piece(bytes + 2, usize::MAX))
        } else {
            Err(body)
        }
    }

    fn piece(&mut self, capacity: usize, bytes_max: usize) -> Vec<u8> {
        let mut json = Vec::with_capacity(capacity);
        if self.state == State::Start {
            json.push(b'[');
        }
        while json.len() < bytes_max {
            let Some(message) = self.messages.next() else {
                json.push(b']');
                self.state = State::End;
                return json;
            };
            if self.state == State::Middle {
                json.push(b',');
            }
            self.state = State::Middle;
            put_delivered(&mut json, &message);
        }
        json
    }
}

impl MessageBody for DeliveryBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.state == State::End {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(self
            .piece(PIECE_BYTES + DELIVERED_BYTES, PIECE_BYTES)
            .into())))
    }
}

fn put_delivered(json: &mut Vec<u8>, message: &Delivered) {
    put_start(json, message.id);
    put_text(json, &message.content);
    put_time(json, "created_at", message.id.created_at());
    put_attributes(json, &message.content);
    json.push(b'}');
}

fn put_start(json: &mut Vec<u8>, id: MessageId) {
    json.extend_from_slice(b"{\"id\":\"");
    json.extend_from_slice(&id.text());
    json.push(b'"');
}

fn put_text(json: &mut Vec<u8>, content: &Content) {
    json.extend_from_slice(b",\"text\":");
    put_json_string(json, content.text());
}

/// Appends `,"name":"2013-10-13T11:50:36.000Z"`.
pub fn put_time(json: &mut Vec<u8>, name: &str, time: UnixMs) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":\"");
    json.extend_from_slice(&time.rfc3339());
    json.push(b'"');
}

fn put_attributes(json: &mut Vec<u8>, content: &Content) {
    json.extend_from_slice(b",\"attributes\":{");
    for (place, (name, value)) in content.attributes().iter().enumerate() {
        if place > 0 {
            json.push(b',');
        }
        put_json_string(json, name);
        json.push(b':');
        put_json_string(json, value);
    }
    json.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::IdStamp;
    use crate::domain::message::Attributes;
    use crate::domain::username::Route;

    fn delivered(count: usize, text_bytes: usize) -> Vec<Delivered> {
        let attributes = Attributes(vec![("a".into(), "\"".into()), ("b".into(), "c".into())]);
        let message = |counter| Delivered {
            id: MessageId::new(
                IdStamp {
                    ms: UnixMs(1_700_000_000_000),
                    counter,
                },
                Route(1),
                2,
            ),
            content: Content::new(&"\n".repeat(text_bytes), attributes.clone()),
        };
        (0..count as u16).map(message).collect()
    }

    fn read_all(messages: Vec<Delivered>) -> (Vec<u8>, usize) {
        let mut body = match DeliveryBody::new(messages) {
            Ok(whole) => return (whole, 1),
            Err(body) => body,
        };
        let (mut all, mut pieces) = (Vec::new(), 0);
        while body.state != State::End {
            let piece = body.piece(0, PIECE_BYTES);
            assert!(
                piece.len() < 3 * PIECE_BYTES,
                "a piece of {} bytes",
                piece.len()
            );
            all.extend(piece);
            pieces += 1;
        }
        (all, pieces)
    }

    #[test]
    fn a_delivery_is_the_same_array_in_one_piece_and_in_many() {
        for (count, text_bytes, is_large) in [
            (0, 1, false),
            (1, 1, false),
            (3, 10, false),
            (1_000, 300, true),
            (2, 65_536, true),
        ] {
            let (json, pieces) = read_all(delivered(count, text_bytes));
            assert_eq!(
                pieces > 1,
                is_large,
                "{count} messages of {text_bytes} bytes"
            );
            let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
            let items = value.as_array().expect("an array");
            assert_eq!(items.len(), count);
            for (item, message) in items.iter().zip(delivered(count, text_bytes)) {
                assert_eq!(item["id"], message.id.to_string());
                assert_eq!(item["text"], message.content.text());
                assert_eq!(item["attributes"], serde_json::json!({"a": "\"", "b": "c"}));
                assert_eq!(item["created_at"], "2023-11-14T22:13:20.000Z");
            }
        }
    }
}
