//! Strict JSON: the hot path of every post.
//!
//! One pass into borrowed fields: without escapes nothing is allocated but the name and the content.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::draft::{Draft, Pairs};
use super::{BodyError, PostBody, diagnose};
use crate::domain::limits::Limits;

/// Reads one post of strict JSON.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<PostBody, BodyError> {
    match read(bytes) {
        Ok(draft) => draft.check(limits),
        Err(error) => Err(diagnose::diagnose(bytes, &error, limits)),
    }
}

/// The fields of a body that has the right ones, each of its type, and no others.
pub(super) fn read(bytes: &[u8]) -> serde_json::Result<Draft<'_>> {
    serde_json::from_slice::<Object<'_>>(bytes).map(|object| object.0)
}

/// A [`Draft`] from an object only: a derived struct can also be read from an array.
struct Object<'a>(Draft<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Draft::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A number of seconds that is there: `null` is no absence.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

/// A string that is borrowed where it has no escapes; `Cow` by itself always copies.
#[derive(serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);
