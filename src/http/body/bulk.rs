//! A bulk: `{"messages":[…]}`, each item a post that stands alone.
//!
//! The whole is cut into items without reading them; each is then read like the body of a single post, so what
//! holds for one holds for all, and the fault of one item is no fault of the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::diagnose::{check_no_mark, refused, text_of};
use super::error::{BodyErrorKind, Place, quoted};
use super::strict::{self, Text};
use super::{BodyError, PostBody};
use crate::domain::limits::Limits;

/// Messages of one bulk.
const BULK_MESSAGES_MAX: usize = 1_000;

/// The one field.
const MESSAGES: &str = "messages";

/// Reads the items of a bulk: each a post, or what is wrong with it.
///
/// Time is bounded by the length of `bytes`, and so is the stack.
///
/// # Errors
/// [`BodyError`] when there are no items to be read.
pub fn parse_bulk(
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<Result<PostBody, BodyError>>, BodyError> {
    let text = text_of(bytes)?;
    check_no_mark(text)?;
    let body: Members<'_> = serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => not_an_object(),
        false => refused(text, &error),
    })?;
    let items = items_of(messages_of(&body.0)?)?;
    let read = |(place, item): (usize, &&RawValue)| {
        let post = strict::parse(item.get().as_bytes(), limits);
        post.map_err(|error| error.within_item(place))
    };
    Ok(items.iter().enumerate().map(read).collect())
}

/// The names and values of an object, the values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// The value of the one field.
fn messages_of<'a>(members: &[(Cow<'_, str>, &'a RawValue)]) -> Result<&'a RawValue, BodyError> {
    if let Some((name, _)) = members.iter().find(|(name, _)| name != MESSAGES) {
        let detail = format!(
            "field {} is not known; the one field of a bulk is \"messages\"",
            quoted(name)
        );
        return Err(BodyError::field(
            BodyErrorKind::UnknownField,
            &[name],
            detail,
        ));
    }
    match members {
        [(_, messages)] => Ok(messages),
        [] => {
            let detail = "field \"messages\" is missing; give an array of messages".to_owned();
            Err(BodyError::field(
                BodyErrorKind::MissingField,
                &[MESSAGES],
                detail,
            ))
        }
        _ => {
            let detail = "field \"messages\" is given twice; keep one of them".to_owned();
            Err(BodyError::field(
                BodyErrorKind::DuplicateField,
                &[MESSAGES],
                detail,
            ))
        }
    }
}

fn items_of(messages: &RawValue) -> Result<Vec<&RawValue>, BodyError> {
    let wrong_type = |_| {
        let detail = "messages must be an array of messages".to_owned();
        BodyError::field(BodyErrorKind::WrongType, &[MESSAGES], detail)
    };
    let items: Vec<&RawValue> = serde_json::from_str(messages.get()).map_err(wrong_type)?;
    if items.len() > BULK_MESSAGES_MAX {
        let detail = format!(
            "messages has {} items; give at most {BULK_MESSAGES_MAX}, and the others in further requests",
            items.len()
        );
        return Err(BodyError::field(
            BodyErrorKind::OutOfRange,
            &[MESSAGES],
            detail,
        ));
    }
    Ok(items)
}

fn not_an_object() -> BodyError {
    let detail = "the body must be an object such as \
                  {\"messages\":[{\"username\":\"alice\",\"text\":\"hello\"}]}";
    BodyError::field(BodyErrorKind::WrongType, &[], detail.to_owned())
}

impl BodyError {
    /// The same mistake in the item at this place of a bulk.
    fn within_item(self, place: usize) -> BodyError {
        let inner = match &self.place {
            Some(Place::Field(pointer)) => pointer,
            // Lines and columns of an item are not those of the body.
            Some(Place::Position { .. }) | None => "",
        };
        BodyError {
            place: Some(Place::Field(format!("/{MESSAGES}/{place}{inner}"))),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BodyErrorKind::*;
    use super::*;

    fn parse(body: &str) -> Result<Vec<Result<PostBody, BodyError>>, BodyError> {
        parse_bulk(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn each_item_is_read_like_a_post_and_its_fault_is_its_own() {
        let body = r#" {"messages": [
            {"username":"ann","text":"one"}, {"username":"bob"}, 5, [],
            {"text":"two","username":"a\u006en","timeout":7,"attributes":{"a":"b"}},
            {"username":"ann","text":"x","timeout":1e400}, {"username":"ann","text":"x","attributes":{"a":1}}
        ]} "#;
        let items = parse(body).expect("a bulk");
        let pointer = |place: usize| match &items[place] {
            Err(BodyError {
                kind,
                place: Some(Place::Field(field)),
                ..
            }) => (*kind, field.as_str()),
            other => panic!("{other:?}"),
        };
        let post = |place: usize| items[place].as_ref().expect("a post");
        assert_eq!(items.len(), 7);
        assert_eq!(post(0).content.text(), "one");
        assert_eq!(
            (post(4).username.as_str(), post(4).timeout_secs),
            ("ann", 7)
        );
        assert_eq!(pointer(1), (MissingField, "/messages/1/text"));
        assert_eq!(pointer(2), (WrongType, "/messages/2"));
        assert_eq!(pointer(3), (WrongType, "/messages/3"));
        assert_eq!(pointer(5), (OutOfRange, "/messages/5"));
        assert_eq!(pointer(6), (WrongType, "/messages/6/attributes/a"));
    }

    #[test]
    fn a_body_without_items_is_refused_with_the_place_to_blame() {
        let field = |path: &str| Some(Place::Field(path.to_owned()));
        let position = |line, column| Some(Place::Position { line, column });
        for (body, kind, place) in [
            ("", NotJson, None),
            ("[]", WrongType, field("")),
            ("7", WrongType, field("")),
            ("{}", MissingField, field("/messages")),
            (r#"{"messages":{}}"#, WrongType, field("/messages")),
            (r#"{"messages":null}"#, WrongType, field("/messages")),
            (
                r#"{"messages":[],"messages":[]}"#,
                DuplicateField,
                field("/messages"),
            ),
            (
                r#"{"messages":[],"text":"x"}"#,
                UnknownField,
                field("/text"),
            ),
            ("{\"messages\":[\n}", NotJson, position(2, 1)),
            (r#"{"messages":[]} x"#, NotJson, position(1, 17)),
        ] {
            let error = parse(body).expect_err(body);
            assert_eq!((error.kind, error.place), (kind, place), "{body}");
        }
    }

    #[test]
    fn a_bulk_may_have_a_thousand_items_or_none() {
        let bulk = |items: usize| format!(r#"{{"messages":[{}]}}"#, vec!["0"; items].join(","));
        assert_eq!(parse(&bulk(0)).expect("a bulk"), []);
        assert_eq!(parse(&bulk(1_000)).expect("a bulk").len(), 1_000);
        let error = parse(&bulk(1_001)).expect_err("too many");
        assert_eq!(error.kind, OutOfRange);
        assert!(error.detail.contains("1001"), "{error}");
    }

    #[test]
    fn a_value_that_is_nested_without_end_costs_no_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let deep = nested(500_000);
        let items = parse(&format!(r#"{{"messages":[{deep},{{"username":{deep}}}]}}"#));
        for item in items.expect("a bulk") {
            assert_eq!(item.expect_err("nothing to post").kind, NotJson);
        }
        let unknown = parse(&format!(r#"{{"messages":[],"other":{deep}}}"#));
        assert_eq!(unknown.expect_err("another field").kind, UnknownField);
    }
}
