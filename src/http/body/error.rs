//! Why a body is refused, and the place in it that is to blame.

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BodyError {
    /// What sort of mistake it is.
    pub kind: BodyErrorKind,
    /// What is wrong with this body and what to do about it, in one line without a full stop.
    pub detail: String,
    /// Where it is wrong, if at one place.
    pub place: Option<Place>,
}

/// The sorts of mistakes: one problem `type` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyErrorKind {
    /// It cannot be read as JSON (or JSON5, if that was allowed).
    NotJson,
    /// It cannot be read as a form.
    NotForm,
    /// A value has another type than its field takes.
    WrongType,
    /// A required field is absent.
    MissingField,
    /// It has a field that posts do not have.
    UnknownField,
    /// It has a field twice.
    DuplicateField,
    /// The recipient's name breaks the rules for names.
    BadUsername,
    /// A value is too small, too large, too long or too many.
    OutOfRange,
    /// The text has more bytes than one message may carry.
    TextTooLarge,
}

/// A place in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A field, as a JSON pointer (RFC 6901) in which long names are cut; `""` is the whole body.
    Field(String),
    /// A character.
    Position {
        /// Its line, from 1.
        line: u32,
        /// Its column in characters, from 1.
        column: u32,
    },
}

impl BodyError {
    /// A mistake in the field at `path`, a list of names from the outside in.
    pub(super) fn field(kind: BodyErrorKind, path: &[&str], detail: String) -> BodyError {
        let place = Some(Place::field(path));
        BodyError {
            kind,
            detail,
            place,
        }
    }

    /// A mistake at a byte of the body.
    pub(super) fn at(kind: BodyErrorKind, text: &str, offset: usize, detail: String) -> BodyError {
        let place = Some(Place::at(text, offset));
        BodyError {
            kind,
            detail,
            place,
        }
    }
}

impl Place {
    fn field(path: &[&str]) -> Place {
        let mut pointer = String::new();
        for name in path {
            pointer.push('/');
            pointer.push_str(&shortened(name).replace('~', "~0").replace('/', "~1"));
        }
        Place::Field(pointer)
    }

    /// The character of `text` that holds byte `offset`, or the end.
    fn at(text: &str, offset: usize) -> Place {
        let mut offsets = (0..=offset.min(text.len())).rev();
        let start = offsets.find(|offset| text.is_char_boundary(*offset));
        let before = &text[..start.unwrap_or(0)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let newlines = before.bytes().filter(|byte| *byte == b'\n').count();
        let column = before[line_start..].chars().count();
        Place::Position {
            line: from_one(newlines),
            column: from_one(column),
        }
    }
}

fn from_one(from_zero: usize) -> u32 {
    u32::try_from(from_zero)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// A name from a body as an error shows it: in quotes, cut, nothing in it invisible.
pub(super) fn quoted(name: &str) -> String {
    format!("{:?}", shortened(name))
}

fn shortened(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    match name.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "é1\n\nab";
        for (offset, line, column) in [
            (0, 1, 1),
            (1, 1, 1),
            (2, 1, 2),
            (3, 1, 3),
            (4, 2, 1),
            (5, 3, 1),
            (7, 3, 3),
            (99, 3, 3),
        ] {
            assert_eq!(Place::at(text, offset), Place::Position { line, column });
        }
    }

    #[test]
    fn a_pointer_is_escaped_and_long_names_are_cut() {
        assert_eq!(Place::field(&[]), Place::Field(String::new()));
        assert_eq!(
            Place::field(&["attributes", "a/b~c"]),
            Place::Field("/attributes/a~1b~0c".to_owned())
        );
        let long = "é".repeat(64);
        assert_eq!(Place::field(&[&long]), Place::Field(format!("/{long}")));
        assert_eq!(
            Place::field(&[&"é".repeat(65)]),
            Place::Field(format!("/{long}…"))
        );
    }

    #[test]
    fn a_quoted_name_hides_nothing() {
        assert_eq!(quoted("a\u{202e}\n\"b"), r#""a\u{202e}\n\"b""#);
    }
}
