//! The tokens of JSON5, as far as it takes to see its structure: where strings, comments and words end.
//!
//! Whether a word is a number or a name, and what an escape means, is for crate `json5` to say.

use json5::char::{is_json5_line_terminator, is_json5_whitespace};

use super::error::BodyError;
use super::error::BodyErrorKind::NotJson;

/// A token and the bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `{` or `[`.
    Open(Bracket),
    /// `}` or `]`.
    Close(Bracket),
    /// `,`.
    Comma,
    /// `:`.
    Colon,
    /// A string, or a run of other characters: a number, a name, a keyword, or nonsense.
    Word,
}

/// What a bracket encloses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    /// `{}`: members.
    Object,
    /// `[]`: elements.
    Array,
}

/// Cuts a text into tokens, leaving out white space and comments.
pub(super) struct Tokens<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Tokens<'a> {
    /// The tokens of `text`.
    pub(super) fn new(text: &'a str) -> Tokens<'a> {
        Tokens { text, offset: 0 }
    }

    /// The next token, or none at the end.
    ///
    /// # Errors
    /// A string or comment without its end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, BodyError> {
        self.skip_blanks()?;
        let start = self.offset;
        let Some(character) = self.bump() else {
            return Ok(None);
        };
        let kind = match character {
            '{' => TokenKind::Open(Bracket::Object),
            '[' => TokenKind::Open(Bracket::Array),
            '}' => TokenKind::Close(Bracket::Object),
            ']' => TokenKind::Close(Bracket::Array),
            ',' => TokenKind::Comma,
            ':' => TokenKind::Colon,
            quote @ ('"' | '\'') => {
                self.skip_string(start, quote)?;
                TokenKind::Word
            }
            _ => {
                while self.peek().is_some_and(|next| !ends_word(next)) {
                    self.bump();
                }
                TokenKind::Word
            }
        };
        let end = self.offset;
        Ok(Some(Token { kind, start, end }))
    }

    fn skip_blanks(&mut self) -> Result<(), BodyError> {
        while let Some(character) = self.peek() {
            let rest = &self.text[self.offset..];
            if is_json5_whitespace(character) {
                self.bump();
            } else if rest.starts_with("//") {
                let end = rest.find(is_json5_line_terminator).unwrap_or(rest.len());
                self.offset += end;
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(self.error(self.offset, "a comment has no end; add */"));
                };
                self.offset += "/*".len() + end + "*/".len();
            } else if character == '/' {
                return Err(self.error(self.offset, "a / begins no comment; write // or /*"));
            } else {
                break;
            }
        }
        Ok(())
    }

    fn skip_string(&mut self, start: usize, quote: char) -> Result<(), BodyError> {
        loop {
            let offset = self.offset;
            match self.bump() {
                Some(character) if character == quote => return Ok(()),
                Some('\n' | '\r') => {
                    let advice = "a string has a line break; write it as \\n";
                    return Err(self.error(offset, advice));
                }
                // The escaped character is no end; a line break that is skipped may be two.
                Some('\\') => {
                    if self.bump() == Some('\r') && self.peek() == Some('\n') {
                        self.bump();
                    }
                }
                Some(_) => {}
                None => return Err(self.error(start, "a string has no end; add its quote")),
            }
        }
    }

    fn error(&self, offset: usize, message: &str) -> BodyError {
        let detail = format!("the body is not JSON5: {message}");
        BodyError::at(NotJson, self.text, offset, detail)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.offset += character.len_utf8();
        Some(character)
    }
}

fn ends_word(character: char) -> bool {
    matches!(
        character,
        '{' | '}' | '[' | ']' | ',' | ':' | '"' | '\'' | '/'
    ) || is_json5_whitespace(character)
}
