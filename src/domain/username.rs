//! Usernames: who a message is for, and the hash that places them on a shard.

use std::fmt;

use smol_str::SmolStr;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use xxhash_rust::xxh3::xxh3_64;

/// How many slices the space of usernames is cut into: a power of two, fixed when data is made.
pub const SHARDS: usize = 256;

/// One slice of the space of usernames: the unit of ownership, 0 to [`SHARDS`] - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// Every shard, in order.
    pub fn all() -> impl Iterator<Item = ShardId> {
        (0..SHARDS as u16).map(ShardId)
    }

    /// This shard as an index, 0 to [`SHARDS`] - 1.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The 64-bit hash of a username (XXH3, seed 0, of its UTF-8 bytes).
///
/// It is part of the data format: shards and ids are made from it, and a test pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UsernameHash(pub u64);

impl UsernameHash {
    /// The top 12 bits: what an id carries, enough to route it to its shard.
    pub fn route(self) -> Route {
        Route((self.0 >> 52) as u16)
    }
}

/// The top 12 bits of a username's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route(pub u16);

impl Route {
    /// The shard that these bits belong to: their own top log2([`SHARDS`]) bits.
    pub fn shard(self) -> ShardId {
        ShardId(self.0 >> (12 - SHARDS.trailing_zeros()))
    }
}

/// A recipient's name: 1 to `username_chars_max` letters, marks, digits and `_ . - @ +`, in Unicode
/// normal form C, case-sensitive, not `.` or `..`. Up to 23 bytes of it are kept in place, for each message
/// that ends has the name with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Username(SmolStr);

/// Why a text is no username.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// It has no characters.
    #[error("must not be empty; give 1 to {chars_max} characters")]
    Empty {
        /// The longest allowed name, in characters.
        chars_max: usize,
    },
    /// It has more than `chars_max` characters.
    #[error("has more than {chars_max} characters; shorten it")]
    TooLong {
        /// The longest allowed name, in characters.
        chars_max: usize,
    },
    /// It holds a character that names may not have.
    #[error("has the character U+{:04X} at position {position}; use letters, marks, digits and _ . - @ +", u32::from(*.character))]
    Character {
        /// The first character that is not allowed.
        character: char,
        /// Its place, in characters from 0.
        position: usize,
    },
    /// It is `.` or `..`, which no URL path can carry.
    #[error("must not be . or ..; use another name")]
    Dots,
}

impl Username {
    /// Makes a name from any text, normalising it to NFC.
    ///
    /// # Errors
    /// [`UsernameError`] names what is wrong and what to do.
    pub fn parse(text: &str, chars_max: usize) -> Result<Username, UsernameError> {
        if text.is_empty() {
            return Err(UsernameError::Empty { chars_max });
        }
        if text.bytes().all(is_name_byte) {
            return Self::checked(text, text.len(), chars_max);
        }
        // A character is at most 4 bytes, and normalisation shortens by less than three quarters.
        if text.len() > chars_max.saturating_mul(16) {
            return Err(UsernameError::TooLong { chars_max });
        }
        if let Some((position, character)) =
            text.chars().enumerate().find(|(_, c)| !is_name_char(*c))
        {
            return Err(UsernameError::Character {
                character,
                position,
            });
        }
        if is_nfc(text) {
            return Self::checked(text, text.chars().count(), chars_max);
        }
        let normal: String = text.nfc().collect();
        Self::checked(&normal, normal.chars().count(), chars_max)
    }

    fn checked(text: &str, chars: usize, chars_max: usize) -> Result<Username, UsernameError> {
        if chars > chars_max {
            return Err(UsernameError::TooLong { chars_max });
        }
        if text == "." || text == ".." {
            return Err(UsernameError::Dots);
        }
        Ok(Username(text.into()))
    }

    /// A name that was checked when it was written to the journal or the archive.
    pub fn from_stored(text: &str) -> Username {
        Username(text.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash that places this name, computed anew at each call.
    pub fn hash(&self) -> UsernameHash {
        UsernameHash(xxh3_64(self.0.as_bytes()))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'+')
}

fn is_name_char(character: char) -> bool {
    if character.is_ascii() {
        return is_name_byte(character as u8);
    }
    let digit = unicode_properties::GeneralCategory::DecimalNumber;
    matches!(
        character.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark
    ) || character.general_category() == digit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Username, UsernameError> {
        Username::parse(text, 200)
    }

    #[test]
    fn the_hash_of_a_username_is_pinned() {
        let hash = |name| parse(name).expect("a name").hash().0;
        assert_eq!(hash("alice"), 0x4da1_0dd6_1a01_16b0);
        assert_eq!(hash("bob"), 0x1403_c0c4_0f49_b8e5);
    }

    #[test]
    fn a_route_is_the_top_of_the_hash_and_names_the_shard() {
        let hash = UsernameHash(0xabcd_0000_0000_0000);
        assert_eq!(hash.route(), Route(0xabc));
        assert_eq!(hash.route().shard(), ShardId(0xab));
    }

    #[test]
    fn names_of_letters_marks_and_digits_are_taken_as_they_are() {
        for name in [
            "a",
            "Ann.Lee-2+x@y_z",
            "Łukasz",
            "李小龙",
            "नमस्ते",
            "٣٤",
            "...",
            "a.",
        ] {
            assert_eq!(parse(name).expect(name).as_str(), name);
        }
    }

    #[test]
    fn a_name_is_normalised_to_nfc() {
        assert_eq!(
            parse("e\u{301}").expect("a name"),
            parse("é").expect("a name")
        );
        assert_ne!(parse("E").expect("a name"), parse("e").expect("a name"));
    }

    #[test]
    fn bad_names_are_refused_with_what_is_wrong() {
        assert_eq!(parse(""), Err(UsernameError::Empty { chars_max: 200 }));
        assert_eq!(parse("."), Err(UsernameError::Dots));
        assert_eq!(parse(".."), Err(UsernameError::Dots));
        for (name, character, position) in [
            ("a b", ' ', 1),
            ("a/b", '/', 1),
            ("\0", '\0', 0),
            ("é½", '½', 1),
            ("😀", '😀', 0),
            ("a\u{202e}", '\u{202e}', 1),
        ] {
            assert_eq!(
                parse(name),
                Err(UsernameError::Character {
                    character,
                    position
                })
            );
        }
    }

    #[test]
    fn the_length_is_counted_in_characters_after_normalisation() {
        assert!(parse(&"a".repeat(200)).is_ok());
        assert!(parse(&"é".repeat(200)).is_ok());
        assert!(parse(&"e\u{301}".repeat(200)).is_ok());
        for long in [
            "a".repeat(201),
            "é".repeat(201),
            "e\u{301}".repeat(201),
            "é".repeat(100_000),
        ] {
            assert_eq!(parse(&long), Err(UsernameError::TooLong { chars_max: 200 }));
        }
    }
}
