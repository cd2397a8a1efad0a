//! From named values to a [`Draft`]: which fields there are, and what type each takes.

use std::borrow::Cow;

use super::draft::{Draft, Pairs, timeout_out_of_range};
use super::error::quoted;
use super::suggest::nearest;
use super::value::Value;
use super::{BodyError, BodyErrorKind};
use crate::domain::limits::Limits;

/// What a format lets through.
pub(super) struct Rules {
    /// The names of its fields.
    pub(super) names: &'static [&'static str],
    /// Whether other fields are skipped, not refused.
    pub(super) unknown_skipped: bool,
    /// Whether a `timeout` may be a string of digits or a whole number such as `6e1`.
    pub(super) any_whole_number: bool,
}

/// The fields of a JSON post.
pub(super) const NAMES: &[&str] = &["username", "text", "timeout", "attributes"];

/// The fields of a post as far as they were read.
pub(super) struct Fields<'a, 'r> {
    rules: &'r Rules,
    limits: &'r Limits,
    username: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    timeout: Option<u64>,
    attributes: Option<Pairs<'a>>,
}

/// The fields of a whole body.
pub(super) fn draft_of<'a>(
    body: Value<'a>,
    rules: &Rules,
    limits: &Limits,
) -> Result<Draft<'a>, BodyError> {
    let Value::Object(members) = body else {
        let detail = format!(
            "the body must be an object, not {}; send one such as \
             {{\"username\":\"alice\",\"text\":\"hello\"}}",
            body.type_name()
        );
        return Err(BodyError::field(BodyErrorKind::WrongType, &[], detail));
    };
    let mut fields = Fields::new(rules, limits);
    for (name, value) in members {
        fields.add(&name, value)?;
    }
    fields.finish()
}

impl<'a, 'r> Fields<'a, 'r> {
    /// No fields yet.
    pub(super) fn new(rules: &'r Rules, limits: &'r Limits) -> Self {
        Fields {
            rules,
            limits,
            username: None,
            text: None,
            timeout: None,
            attributes: None,
        }
    }

    /// Takes one field.
    pub(super) fn add(&mut self, name: &str, value: Value<'a>) -> Result<(), BodyError> {
        if !self.rules.names.contains(&name) {
            return self.unknown(name);
        }
        let seen_before = match name {
            "username" => self.username.replace(string(name, value)?).is_some(),
            "text" => self.text.replace(string(name, value)?).is_some(),
            "timeout" => self.timeout.replace(self.seconds(value)?).is_some(),
            _ => self.attributes.replace(pairs(value)?).is_some(),
        };
        if seen_before {
            let detail = format!("the body has the field {name} twice; keep one of them");
            let kind = BodyErrorKind::DuplicateField;
            return Err(BodyError::field(kind, &[name], detail));
        }
        Ok(())
    }

    /// The draft, if nothing required is missing.
    pub(super) fn finish(self) -> Result<Draft<'a>, BodyError> {
        let missing = |name: &str| {
            let detail = format!("the field {name} is missing; add it, it is required");
            BodyError::field(BodyErrorKind::MissingField, &[name], detail)
        };
        Ok(Draft {
            username: self.username.ok_or_else(|| missing("username"))?,
            text: self.text.ok_or_else(|| missing("text"))?,
            timeout: self.timeout,
            attributes: self.attributes.unwrap_or_default(),
        })
    }

    fn unknown(&self, name: &str) -> Result<(), BodyError> {
        if self.rules.unknown_skipped {
            return Ok(());
        }
        let advice = match nearest(name, self.rules.names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the fields are {}", self.rules.names.join(", ")),
        };
        let detail = format!("there is no field {}; {advice}", quoted(name));
        let kind = BodyErrorKind::UnknownField;
        Err(BodyError::field(kind, &[name], detail))
    }

    fn seconds(&self, value: Value<'_>) -> Result<u64, BodyError> {
        let max = self.limits.timeout_secs_max as f64;
        match value {
            Value::Integer(seconds) => Ok(seconds),
            Value::Number(number) if number < 0.0 || number > max => {
                Err(timeout_out_of_range(self.limits))
            }
            Value::Number(number) if self.rules.any_whole_number && number.fract() == 0.0 => {
                Ok(number as u64)
            }
            Value::Text(text) if self.rules.any_whole_number => self.seconds_of(text.trim()),
            other => Err(self.no_seconds(&other)),
        }
    }

    fn seconds_of(&self, digits: &str) -> Result<u64, BodyError> {
        let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.no_seconds(&Value::Text(digits.into())));
        }
        digits
            .parse()
            .map_err(|_| timeout_out_of_range(self.limits))
    }

    fn no_seconds(&self, value: &Value<'_>) -> BodyError {
        let rest = match value {
            Value::Null => format!(
                "not null; leave it out for the default of {}",
                self.limits.timeout_secs_default
            ),
            Value::Text(text) if self.rules.any_whole_number => format!("not {}", quoted(text)),
            Value::Text(_) => "not a string; write it without quotes".to_owned(),
            Value::Number(_) => "without a fraction or an exponent".to_owned(),
            other => format!("not {}", other.type_name()),
        };
        let detail = format!("timeout must be a whole number of seconds such as 60, {rest}");
        BodyError::field(BodyErrorKind::WrongType, &["timeout"], detail)
    }
}

fn string<'a>(name: &str, value: Value<'a>) -> Result<Cow<'a, str>, BodyError> {
    match value {
        Value::Text(text) => Ok(text),
        other => {
            let detail = format!("{name} must be a string, not {}", other.type_name());
            let kind = BodyErrorKind::WrongType;
            Err(BodyError::field(kind, &[name], detail))
        }
    }
}

fn pairs(value: Value<'_>) -> Result<Pairs<'_>, BodyError> {
    let kind = BodyErrorKind::WrongType;
    let Value::Object(members) = value else {
        let found = value.type_name();
        let detail = format!("attributes must be an object of strings, not {found}");
        return Err(BodyError::field(kind, &["attributes"], detail));
    };
    let mut pairs = Vec::with_capacity(members.len());
    for (name, value) in members {
        let Value::Text(value) = value else {
            let detail = format!(
                "attribute {} must be a string, not {}",
                quoted(&name),
                value.type_name()
            );
            return Err(BodyError::field(kind, &["attributes", &name], detail));
        };
        pairs.push((name, value));
    }
    Ok(Pairs(pairs))
}
