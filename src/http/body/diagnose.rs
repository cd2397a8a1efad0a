//! What is wrong with a body that the strict reader refused, and where.

use serde_json::error::Category;

use super::error::BodyErrorKind::{NotJson, OutOfRange};
use super::fields::{NAMES, Rules, draft_of};
use super::value::Value;
use super::{BodyError, PostBody};
use crate::domain::limits::Limits;

/// How deep arrays and objects may be nested; every parser here recurses at most so far.
pub(super) const DEPTH_MAX: usize = 64;

const STRICT: Rules = Rules {
    names: NAMES,
    unknown_skipped: false,
    any_whole_number: false,
};

/// The reason for which `refusal` was the answer to `bytes`.
pub(super) fn diagnose(bytes: &[u8], refusal: &serde_json::Error, limits: &Limits) -> BodyError {
    match read(bytes, limits) {
        Err(error) => error,
        // Both readers take the same bodies, and tests hold them to it; a refusal stays one anyway.
        Ok(_) => refused(&String::from_utf8_lossy(bytes), refusal),
    }
}

/// Reads one post of strict JSON with the errors that people see: slower than `strict`, same result.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<PostBody, BodyError> {
    let text = text_of(bytes)?;
    check_no_mark(text)?;
    check_depth(text)?;
    let body: Value<'_> = serde_json::from_str(text).map_err(|error| refused(text, &error))?;
    draft_of(body, &STRICT, limits)?.check(limits)
}

/// That the body does not begin with a byte order mark.
pub(super) fn check_no_mark(text: &str) -> Result<(), BodyError> {
    if text.starts_with('\u{feff}') {
        let detail = "the body begins with a byte order mark; send it without".to_owned();
        return Err(BodyError::at(NotJson, text, 0, detail));
    }
    Ok(())
}

/// The body as text that is not blank.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, BodyError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let detail = "the body is not UTF-8; encode it as UTF-8".to_owned();
        BodyError::at(NotJson, &valid, valid.len(), detail)
    })?;
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(BodyError {
            kind: NotJson,
            detail: "the body is empty; send a JSON object such as \
                     {\"username\":\"alice\",\"text\":\"hello\"}"
                .to_owned(),
            place: None,
        });
    }
    Ok(text)
}

fn check_depth(text: &str) -> Result<(), BodyError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(too_deep(text, offset));
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The error of a body whose bracket at `offset` is one too many.
pub(super) fn too_deep(text: &str, offset: usize) -> BodyError {
    let detail = format!("the body is nested deeper than {DEPTH_MAX} levels; flatten it");
    BodyError::at(NotJson, text, offset, detail)
}

/// `serde_json`'s error at our count of lines and characters.
pub(super) fn refused(text: &str, error: &serde_json::Error) -> BodyError {
    let offset = offset_of(text, error);
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&suffix).unwrap_or(&message);
    // JSON allows any number, but what cannot be held cannot be used.
    if message == "number out of range" {
        let detail = "the body has a number out of range; write a smaller one".to_owned();
        return BodyError::at(OutOfRange, text, offset, detail);
    }
    let detail = format!("the body is not JSON: {message}");
    BodyError::at(NotJson, text, offset, detail)
}

/// The byte that an error is about: `serde_json` counts lines from 1, and bytes from 1 in a line, where
/// byte 0 is the newline before it.
fn offset_of(text: &str, error: &serde_json::Error) -> usize {
    if error.classify() == Category::Eof {
        return text.len();
    }
    let line_start = match error.line().checked_sub(2) {
        Some(newline) => text.match_indices('\n').nth(newline),
        None => None,
    };
    let line_start = line_start.map_or(0, |(newline, _)| newline + 1);
    (line_start + error.column()).saturating_sub(1)
}
