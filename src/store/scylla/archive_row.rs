//! A row of the archive as bytes: what the tables keep of an ended message besides its key (see
//! `docs/FORMAT.md`).

use crate::domain::id::MessageId;
use crate::domain::message::{Attributes, Content, End, Ended};
use crate::domain::time::UnixMs;
use crate::domain::username::Username;

/// The first byte of a row.
const ROW_VERSION: u8 = 1;

/// What is in the archive does not read as this version writes it.
#[derive(Debug, thiserror::Error)]
#[error("{what}; restore the archive from a copy, or start a newer mayfly")]
pub(super) struct UnknownRow {
    what: &'static str,
}

/// The row of a message: version, end, username, text, attributes.
pub(super) fn row_value(ended: &Ended) -> Vec<u8> {
    let row = (
        ROW_VERSION,
        ended.end,
        ended.username.as_str(),
        ended.content.text(),
        ended.content.attributes(),
    );
    postcard::to_extend(&row, Vec::with_capacity(ended.content.bytes() + 64))
        .expect("a vector takes every byte and the format takes every row")
}

/// The message with this id whose row is `value`.
///
/// # Errors
/// [`UnknownRow`] when it is none of this version.
pub(super) fn read_value(
    id: MessageId,
    ended_at: UnixMs,
    value: &[u8],
) -> Result<Ended, UnknownRow> {
    const BAD_VALUE: UnknownRow = UnknownRow {
        what: "a row does not read",
    };
    type Row<'a> = (u8, End, &'a str, &'a str, Attributes);
    let (version, end, username, text, attributes): Row<'_> =
        postcard::from_bytes(value).map_err(|_| BAD_VALUE)?;
    if version != ROW_VERSION {
        return Err(BAD_VALUE);
    }
    Ok(Ended {
        id,
        username: Username::from_stored(username),
        content: Content::new(text, attributes),
        ended_at,
        end,
    })
}
