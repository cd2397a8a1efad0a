//! The body of a post: bytes in, a checked [`PostBody`] or a [`BodyError`] out.
//!
//! A strict body costs one pass of `serde_json` into borrowed fields (`strict`). Only a refused one is
//! read again into a `Value` to say what is wrong and where (`diagnose`). JSON5 (`lenient`) and
//! forms (`form`) are read by other parsers, but every format fills the same `Draft`, and its checks
//! are the only ones. A bulk (`bulk`) is such bodies in an array. Content types, statuses and the size of a whole
//! body are decided elsewhere.

#[cfg(test)]
#[macro_use]
mod error_tables;

mod error;

mod strict;

mod draft;

mod diagnose;

mod value;

mod fields;

mod suggest;

mod lenient;

mod commas;

mod json5_token;

mod form;

mod bulk;

pub use bulk::parse_bulk;
pub use error::{BodyError, BodyErrorKind, Place};
pub use form::is_json;

use crate::domain::limits::Limits;
use crate::domain::message::Content;
use crate::domain::username::Username;

/// How the body of a post is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// Strict JSON (RFC 8259): the default.
    Json,
    /// JSON5 with missing commas, numbers in strings and unknown fields let through: `?lenient=1` or
    /// `application/json5`.
    Json5,
    /// `application/x-www-form-urlencoded`; one that begins with `{` is read as [`BodyFormat::Json`].
    Form,
}

/// One post as parsed and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostBody {
    /// Who the message is for.
    pub username: Username,
    /// Text, 1 byte to `text_bytes_max`, and attributes, up to `attributes_max`.
    pub content: Content,
    /// Seconds until it expires, 0 to `timeout_secs_max`.
    pub timeout_secs: u64,
}

/// Reads one post.
///
/// Time and stack are bounded by the length of `bytes`, whatever they are.
///
/// # Errors
/// [`BodyError`] says what is wrong, where, and what to do about it.
pub fn parse_post(
    bytes: &[u8],
    format: BodyFormat,
    limits: &Limits,
) -> Result<PostBody, BodyError> {
    match format {
        BodyFormat::Json => strict::parse(bytes, limits),
        BodyFormat::Json5 => lenient::parse(bytes, limits),
        BodyFormat::Form if form::is_json(bytes) => strict::parse(bytes, limits),
        BodyFormat::Form => form::parse(bytes, limits),
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "body_properties.rs"]
mod properties;
