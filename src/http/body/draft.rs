//! A post whose fields are there and of the right type: what all formats are read into, and the
//! bounds that all of them are held to.

use std::borrow::Cow;

use super::error::quoted;
use super::{BodyError, BodyErrorKind, PostBody};
use crate::domain::limits::Limits;
use crate::domain::message::{Attributes, Content};
use crate::domain::username::Username;

/// A post as written, its bounds not yet checked.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft<'a> {
    #[serde(borrow)]
    pub(super) username: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
    #[serde(default, deserialize_with = "super::strict::present")]
    pub(super) timeout: Option<u64>,
    #[serde(borrow, default)]
    pub(super) attributes: Pairs<'a>,
}

/// Names and values in the order they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Draft<'_> {
    /// The post, if every field keeps to `limits`.
    pub(super) fn check(self, limits: &Limits) -> Result<PostBody, BodyError> {
        let username = Username::parse(&self.username, limits.username_chars_max);
        let username = username.map_err(|error| {
            let detail = format!("username {error}");
            BodyError::field(BodyErrorKind::BadUsername, &["username"], detail)
        })?;
        check_text(&self.text, limits.text_bytes_max)?;
        let timeout_secs = self.timeout.unwrap_or(limits.timeout_secs_default);
        if timeout_secs > limits.timeout_secs_max {
            return Err(timeout_out_of_range(limits));
        }
        check_pairs(&self.attributes, limits)?;
        Ok(PostBody {
            username,
            content: Content::new(&self.text, self.attributes.into_owned()),
            timeout_secs,
        })
    }
}

fn check_text(text: &str, bytes_max: usize) -> Result<(), BodyError> {
    if text.is_empty() {
        let detail = format!("text must not be empty; give 1 to {bytes_max} bytes");
        return Err(BodyError::field(
            BodyErrorKind::OutOfRange,
            &["text"],
            detail,
        ));
    }
    if text.len() > bytes_max {
        let detail = format!(
            "text has {} bytes; shorten it to {bytes_max} or send it in parts",
            text.len()
        );
        return Err(BodyError::field(
            BodyErrorKind::TextTooLarge,
            &["text"],
            detail,
        ));
    }
    Ok(())
}

/// The error of a `timeout` that is a number but none of the allowed ones.
pub(super) fn timeout_out_of_range(limits: &Limits) -> BodyError {
    let detail = format!(
        "timeout is out of range; give 0 to {} seconds",
        limits.timeout_secs_max
    );
    BodyError::field(BodyErrorKind::OutOfRange, &["timeout"], detail)
}

fn check_pairs(Pairs(pairs): &Pairs<'_>, limits: &Limits) -> Result<(), BodyError> {
    if pairs.len() > limits.attributes_max {
        let detail = format!(
            "attributes has {} pairs; give at most {}",
            pairs.len(),
            limits.attributes_max
        );
        return Err(BodyError::field(
            BodyErrorKind::OutOfRange,
            &["attributes"],
            detail,
        ));
    }
    for (index, (name, value)) in pairs.iter().enumerate() {
        check_pair(name, value, limits.attribute_chars_max)?;
        // At most attributes_max names, so comparing each with each is bounded.
        if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
            let detail = format!("attributes has {} twice; keep one of them", quoted(name));
            return Err(BodyError::field(
                BodyErrorKind::DuplicateField,
                &["attributes", name],
                detail,
            ));
        }
    }
    Ok(())
}

fn check_pair(name: &str, value: &str, chars_max: usize) -> Result<(), BodyError> {
    let detail = if name.is_empty() {
        format!("the name of an attribute must not be empty; give 1 to {chars_max} characters")
    } else if name.chars().count() > chars_max {
        format!("the name of an attribute has more than {chars_max} characters; shorten it")
    } else if value.chars().count() > chars_max {
        let name = quoted(name);
        format!("the value of attribute {name} has more than {chars_max} characters; shorten it")
    } else {
        return Ok(());
    };
    Err(BodyError::field(
        BodyErrorKind::OutOfRange,
        &["attributes", name],
        detail,
    ))
}

impl Pairs<'_> {
    fn into_owned(self) -> Attributes {
        let owned =
            |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
        Attributes(self.0.into_iter().map(owned).collect())
    }
}
