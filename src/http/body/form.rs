//! `application/x-www-form-urlencoded` posts: `username=..&text=..&timeout=..`.
//!
//! Decoding is our own because the usual one replaces what it cannot read; here that is an error.

use std::borrow::Cow;

use super::error::BodyErrorKind::{MissingField, NotForm};
use super::error::quoted;
use super::fields::{Fields, Rules};
use super::value::Value;
use super::{BodyError, PostBody};
use crate::domain::limits::Limits;

const FORM: Rules = Rules {
    names: &["username", "text", "timeout"],
    unknown_skipped: false,
    any_whole_number: true,
};

/// Whether a form's body is JSON after all, as clients that forget the content type send it.
pub fn is_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

/// Reads one post from a form.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<PostBody, BodyError> {
    if bytes.trim_ascii().is_empty() {
        return Err(BodyError {
            kind: MissingField,
            detail: "the body is empty; send a form such as username=alice&text=hello".to_owned(),
            place: None,
        });
    }
    let mut fields = Fields::new(&FORM, limits);
    for pair in bytes.split(|byte| *byte == b'&') {
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
        let name = decoded(name).map_err(|wrong| BodyError {
            kind: NotForm,
            detail: format!("the name of a form field {wrong}"),
            place: None,
        })?;
        let value = decoded(value.strip_prefix(b"=").unwrap_or(value)).map_err(|wrong| {
            let detail = format!("the value of form field {} {wrong}", quoted(&name));
            BodyError::field(NotForm, &[&name], detail)
        })?;
        fields.add(&name, Value::Text(value))?;
    }
    fields.finish()?.check(limits)
}

/// The text that `encoded` stands for, or what is wrong with it.
fn decoded(encoded: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    const NOT_UTF8: &str = "is not UTF-8; encode it as UTF-8";
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        let text = std::str::from_utf8(encoded).map_err(|_| NOT_UTF8)?;
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (hex, after) = after.split_at_checked(2).ok_or(BAD_PERCENT)?;
                rest = after;
                hex_digit(hex[0])? << 4 | hex_digit(hex[1])?
            }
            byte => *byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
    Ok(Cow::Owned(text))
}

const BAD_PERCENT: &str = "has a % without two hexadecimal digits; write a percent sign as %25";

fn hex_digit(byte: u8) -> Result<u8, &'static str> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(BAD_PERCENT),
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
