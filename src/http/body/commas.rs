//! Adds the missing commas of JSON5, after checking its structure and its depth.
//!
//! It does not recurse, so whatever reads its result recurses at most [`DEPTH_MAX`] deep.

use std::borrow::Cow;

use super::diagnose::{DEPTH_MAX, too_deep};
use super::error::BodyError;
use super::error::BodyErrorKind::NotJson;
use super::json5_token::{Bracket, Token, TokenKind, Tokens};

/// A body with all its commas.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completed<'a> {
    /// The body; what came, if nothing was missing.
    pub(super) text: Cow<'a, str>,
    /// The bytes of the original before which a comma was added, in order.
    added_before: Vec<usize>,
}

impl Completed<'_> {
    /// The byte of the original that byte `offset` of the completed text came from; for an added
    /// comma, the byte it was added before.
    pub(super) fn original(&self, offset: usize) -> usize {
        // Comma i stands at byte added_before[i] + i, and what follows is i + 1 bytes late.
        let (mut low, mut high) = (0, self.added_before.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.added_before[middle] + middle < offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        offset - low
    }
}

/// Checks `text` and adds a comma wherever one member or element follows another without.
///
/// # Errors
/// Nesting over [`DEPTH_MAX`], and brackets, colons, commas, strings or comments in the wrong place.
pub(super) fn complete(text: &str) -> Result<Completed<'_>, BodyError> {
    let mut structure = Structure {
        text,
        open: Vec::new(),
        expected: Expected::Value,
        value_end: 0,
        added_before: Vec::new(),
    };
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next()? {
        structure.take(token)?;
    }
    structure.finish()
}

struct Structure<'a> {
    text: &'a str,
    open: Vec<Bracket>,
    expected: Expected,
    /// Where the last whole value ended.
    value_end: usize,
    added_before: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The value of a member, or the body.
    Value,
    /// An element of an array, or its end.
    ElementOrEnd,
    /// The key of a member, or the end of its object.
    KeyOrEnd,
    /// The colon after a key.
    Colon,
    /// What may follow a value: a comma, an end, or (the comma then added) the next one.
    Next,
}

impl<'a> Structure<'a> {
    fn take(&mut self, token: Token) -> Result<(), BodyError> {
        use Expected::{Colon, ElementOrEnd, KeyOrEnd, Next, Value};
        match (self.expected, token.kind) {
            (Value | ElementOrEnd, TokenKind::Word) => self.value_ends(token),
            (Value | ElementOrEnd, TokenKind::Open(bracket)) => self.opens(bracket, token)?,
            (KeyOrEnd, TokenKind::Word) => self.expected = Colon,
            (Colon, TokenKind::Colon) => self.expected = Value,
            (ElementOrEnd | KeyOrEnd | Next, TokenKind::Close(bracket))
                if self.open.last() == Some(&bracket) =>
            {
                self.open.pop();
                self.value_ends(token);
            }
            (Next, TokenKind::Comma) if !self.open.is_empty() => self.comma(),
            (Next, TokenKind::Word | TokenKind::Open(_)) if !self.open.is_empty() => {
                self.added_before.push(self.value_end);
                self.comma();
                return self.take(token);
            }
            _ => return Err(self.unexpected(token.start)),
        }
        Ok(())
    }

    fn value_ends(&mut self, token: Token) {
        self.value_end = token.end;
        self.expected = Expected::Next;
    }

    fn opens(&mut self, bracket: Bracket, token: Token) -> Result<(), BodyError> {
        if self.open.len() == DEPTH_MAX {
            return Err(too_deep(self.text, token.start));
        }
        self.open.push(bracket);
        self.comma();
        Ok(())
    }

    /// After a comma or an opening bracket.
    fn comma(&mut self) {
        self.expected = match self.open.last() {
            Some(Bracket::Object) => Expected::KeyOrEnd,
            _ => Expected::ElementOrEnd,
        };
    }

    fn finish(self) -> Result<Completed<'a>, BodyError> {
        if self.expected != Expected::Next || !self.open.is_empty() {
            return Err(self.unexpected(self.text.len()));
        }
        if self.added_before.is_empty() {
            return Ok(Completed {
                text: Cow::Borrowed(self.text),
                added_before: self.added_before,
            });
        }
        let mut text = String::with_capacity(self.text.len() + self.added_before.len());
        let mut copied = 0;
        for offset in &self.added_before {
            text.push_str(&self.text[copied..*offset]);
            text.push(',');
            copied = *offset;
        }
        text.push_str(&self.text[copied..]);
        Ok(Completed {
            text: Cow::Owned(text),
            added_before: self.added_before,
        })
    }

    fn unexpected(&self, offset: usize) -> BodyError {
        let expected = match (self.expected, self.open.last()) {
            (Expected::Value, _) => "a value",
            (Expected::ElementOrEnd, _) => "a value or ]",
            (Expected::KeyOrEnd, _) => "a field name or }",
            (Expected::Colon, _) => "a colon after the field name",
            (Expected::Next, Some(Bracket::Object)) => "a comma or }",
            (Expected::Next, Some(Bracket::Array)) => "a comma or ]",
            (Expected::Next, None) => "nothing after the body",
        };
        let found = match self.text[offset..].chars().next() {
            Some(character) => format!("found {character:?}"),
            None => "the body ends".to_owned(),
        };
        let detail = format!("the body is not JSON5: expected {expected}, but {found}");
        BodyError::at(NotJson, self.text, offset, detail)
    }
}
