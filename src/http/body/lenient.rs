//! JSON5 as people write it: missing commas, numbers in strings and unknown fields let through.
//!
//! `commas` checks the brackets and adds the commas; crate `json5` then reads the values.

use json5::char::is_json5_line_terminator;

use super::commas::{Completed, complete};
use super::diagnose::text_of;
use super::error::BodyErrorKind::NotJson;
use super::fields::{NAMES, Rules, draft_of};
use super::value::Value;
use super::{BodyError, PostBody, strict};
use crate::domain::limits::Limits;

const LENIENT: Rules = Rules {
    names: NAMES,
    unknown_skipped: true,
    any_whole_number: true,
};

/// Reads one post of JSON5; one of strict JSON costs what it costs in `strict`.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<PostBody, BodyError> {
    match strict::read(bytes) {
        Ok(draft) => draft.check(limits),
        Err(_) => read(bytes, limits),
    }
}

/// Reads one post of JSON5.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<PostBody, BodyError> {
    let text = text_of(bytes)?;
    let completed = complete(text)?;
    let body: Value<'_> =
        json5::from_str(&completed.text).map_err(|error| refused(text, &completed, &error))?;
    draft_of(body, &LENIENT, limits)?.check(limits)
}

/// `json5`'s error at the place in `text`, the body as it came.
fn refused(text: &str, completed: &Completed<'_>, error: &json5::Error) -> BodyError {
    let (offset, suffix) = match error.position() {
        Some(position) => {
            let offset = offset_of(&completed.text, position);
            (completed.original(offset), format!(" at {position}"))
        }
        None => (text.len(), String::new()),
    };
    let message = error.to_string();
    let message = message.strip_suffix(&suffix).unwrap_or(&message);
    let detail = format!("the body is not JSON5: {message}");
    BodyError::at(NotJson, text, offset, detail)
}

/// The byte at a position of `json5`: lines and characters from 0, a line ends as in ECMAScript.
fn offset_of(text: &str, position: json5::Position) -> usize {
    let (mut line, mut column) = (0, 0);
    let mut characters = text.char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        if (line, column) == (position.line, position.column) {
            return offset;
        }
        if is_json5_line_terminator(character) {
            if character == '\r' {
                characters.next_if(|(_, next)| *next == '\n');
            }
            (line, column) = (line + 1, 0);
        } else {
            column += 1;
        }
    }
    text.len()
}

#[cfg(test)]
#[path = "lenient_tests.rs"]
mod tests;
