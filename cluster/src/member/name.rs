//! The names that operators give: of a node, of a cluster, and of a release.

use std::fmt;
use std::str::FromStr;

/// Bytes of the longest name, as of the longest host name.
const NAME_BYTES_MAX: usize = 253;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty or too long.
    #[error("{0:?} is no name; give 1 to {NAME_BYTES_MAX} characters")]
    Length(String),
    /// It holds a character that names may not have.
    #[error("{0:?} is no name; use ASCII letters, digits and _ . - +")]
    Character(String),
}

/// What people call the node that a member runs on: 1 to 253 ASCII letters, digits and `_ . - +`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Box<str>);

/// Which cluster, of those that share a Redis: written like a [`NodeName`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Box<str>);

/// The release that a member runs: written like a [`NodeName`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Box<str>);

/// Gives each of these types its text and its parser.
macro_rules! names {
    ($($name:ident),*) => {$(
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$name, NameError> {
                parse(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names!(NodeName, ClusterName, Version);

fn parse(text: &str) -> Result<Box<str>, NameError> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(NameError::Length(text.to_owned()));
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-+".contains(&byte);
    if !text.bytes().all(is_allowed) {
        return Err(NameError::Character(text.to_owned()));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_would_end_it() {
        for text in ["a b", "a\nb", "a:b", "{a}", "ä"] {
            assert_eq!(
                text.parse::<NodeName>(),
                Err(NameError::Character(text.into()))
            );
        }
    }

    #[test]
    fn a_name_is_neither_empty_nor_longer_than_a_host_name() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert_eq!(
            longest.parse::<NodeName>().expect("a name").as_str(),
            longest
        );
        for text in [String::new(), longest + "n"] {
            assert_eq!(text.parse::<NodeName>(), Err(NameError::Length(text)));
        }
    }
}
