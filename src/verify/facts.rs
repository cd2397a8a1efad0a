//! The operations of a history in little memory: about 200 bytes for each operation and each delivered
//! message, however long their texts are. Repeats with one key are made one here.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::history::{Call, HistoryError, Message, Operation, Outcome, State};
use super::violation::{Rule, Violation, Violations};
use crate::domain::id::MessageId;

/// Which operation of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// What was asked.
    pub operation: Kind,
    /// Its line, from 1.
    pub line: u32,
    /// Who asked.
    pub client: u32,
    /// When it was sent; the first try's if there were several.
    pub started_us: u64,
    /// When it was answered or given up.
    pub ended_us: u64,
}

/// The sorts of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Post,
    Take,
    Find,
    Count,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.serialize(&mut *f)?;
        let Source {
            line,
            client,
            started_us,
            ended_us,
            ..
        } = self;
        write!(
            f,
            " on line {line} (client {client}, {started_us} to {ended_us} us)"
        )
    }
}

/// A user, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(pub u32);

/// A text, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text(u64);

/// What is known of a post or read after all its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It was done.
    Done(T),
    /// It may have been done, once.
    Unknown,
    /// It was not done; the status.
    Refused(u16),
}

impl<T: Copy> Known<T> {
    /// What was done.
    pub fn done(self) -> Option<T> {
        match self {
            Known::Done(done) => Some(done),
            Known::Unknown | Known::Refused(_) => None,
        }
    }
}

/// A post, or all with one key.
pub struct Post {
    pub user: User,
    pub text: Text,
    pub lifetime_us: u64,
    pub source: Source,
    pub id: Known<MessageId>,
}

/// A read, or all with one key.
pub struct Read {
    pub user: User,
    /// Whether more may have waited than it was to take.
    pub is_full: bool,
    pub source: Source,
    pub set: Known<Set>,
}

/// Where in [`Facts`] the messages of a read are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    first: usize,
    count: usize,
}

/// A look-up that was answered; of what was found user, text, state and hash of `read_at`.
pub struct Find {
    pub id: MessageId,
    pub source: Source,
    pub found: Option<(User, Text, State, Option<u64>)>,
}

/// A count that was answered.
pub struct Count {
    pub user: User,
    pub source: Source,
    pub unread: u64,
}

/// All operations.
#[derive(Default)]
pub struct Facts {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, User>,
    /// Hash of operation, user and key, with the index of the post or read.
    keys: HashMap<u128, usize>,
    messages: Vec<(MessageId, Text)>,
    pub operations: u64,
    pub posts: Vec<Post>,
    pub reads: Vec<Read>,
    pub finds: Vec<Find>,
    pub counts: Vec<Count>,
}

impl Facts {
    /// Adds an operation; a repeat that is answered differently is a violation.
    pub fn add(
        &mut self,
        line: u32,
        operation: &Operation,
        violations: &mut Violations,
    ) -> Result<(), HistoryError> {
        if operation.ended_us < operation.started_us {
            return Err(HistoryError::Backwards { line });
        }
        self.operations += 1;
        let key = operation.key.as_deref();
        let source = |kind| Source {
            operation: kind,
            line,
            client: operation.client,
            started_us: operation.started_us,
            ended_us: operation.ended_us,
        };
        match &operation.call {
            Call::Post {
                user,
                text,
                timeout_ms,
            } => {
                let post = Post {
                    user: self.user(user),
                    text: hash(text),
                    lifetime_us: timeout_ms.saturating_mul(1_000),
                    source: source(Kind::Post),
                    id: posted(line, &operation.outcome)?,
                };
                self.add_post(post, key, violations);
            }
            Call::Take { user, limit } => {
                let user = self.user(user);
                self.add_read(
                    source(Kind::Take),
                    user,
                    *limit,
                    key,
                    &operation.outcome,
                    violations,
                )?;
            }
            Call::Find { id } => {
                let id = parse(line, id)?;
                self.add_find(source(Kind::Find), id, &operation.outcome)?;
            }
            Call::Count { user } => {
                let user = self.user(user);
                self.add_count(source(Kind::Count), user, &operation.outcome)?;
            }
        }
        Ok(())
    }

    /// The name of a user.
    pub fn name(&self, user: User) -> &str {
        &self.names[user.0 as usize]
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.names.len()
    }

    /// The messages of a read.
    pub fn messages(&self, set: Set) -> &[(MessageId, Text)] {
        &self.messages[set.first..set.first + set.count]
    }

    fn user(&mut self, name: &str) -> User {
        if let Some(user) = self.numbers.get(name) {
            return *user;
        }
        let user = User(self.names.len() as u32);
        self.names.push(name.into());
        self.numbers.insert(name.into(), user);
        user
    }

    fn add_post(&mut self, post: Post, key: Option<&str>, violations: &mut Violations) {
        let index = self.index(Kind::Post, post.user, key, self.posts.len());
        let Some(first) = self.posts.get_mut(index) else {
            self.posts.push(post);
            return;
        };
        if let (Known::Done(id), Known::Done(other)) = (first.id, post.id)
            && id != other
        {
            let operations = vec![first.source, post.source];
            let user = self.names[post.user.0 as usize].to_string();
            violations.add(|| Violation {
                rule: Rule::RepeatDiffers,
                id: Some(id),
                user,
                detail: format!("was posted again with its key as {other}"),
                operations,
            });
        }
        merge(&mut first.id, &mut first.source, post.id, post.source);
    }

    fn add_read(
        &mut self,
        source: Source,
        user: User,
        limit: Option<u64>,
        key: Option<&str>,
        outcome: &Outcome,
        violations: &mut Violations,
    ) -> Result<(), HistoryError> {
        let set = match outcome {
            Outcome::Taken { messages } => Known::Done(self.keep(source.line, messages)?),
            other => not_done(source.line, other)?,
        };
        let count = set.done().map_or(0, |set| set.count as u64);
        let is_full = limit.is_some_and(|limit| count >= limit);
        let index = self.index(Kind::Take, user, key, self.reads.len());
        let Some(first) = self.reads.get_mut(index) else {
            self.reads.push(Read {
                user,
                is_full,
                source,
                set,
            });
            return Ok(());
        };
        first.is_full |= is_full;
        if let (Known::Done(before), Known::Done(again)) = (first.set, set) {
            let of = |set: Set| &self.messages[set.first..set.first + set.count];
            if of(before) != of(again) {
                let different = of(before)
                    .iter()
                    .zip(of(again))
                    .find(|(one, other)| one != other);
                let id = different.map(|(one, _)| one.0);
                let id = id.or(of(before).get(again.count).map(|one| one.0));
                let id = id.or(of(again).get(before.count).map(|one| one.0));
                let operations = vec![first.source, source];
                let user = self.names[user.0 as usize].to_string();
                violations.add(|| Violation {
                    rule: Rule::RepeatDiffers,
                    id,
                    user,
                    detail: String::from("is not in both answers to one key"),
                    operations,
                });
            } else {
                self.messages.truncate(again.first);
            }
        }
        merge(&mut first.set, &mut first.source, set, source);
        Ok(())
    }

    fn add_find(
        &mut self,
        source: Source,
        id: MessageId,
        outcome: &Outcome,
    ) -> Result<(), HistoryError> {
        let found = match outcome {
            Outcome::Found {
                user,
                text,
                state,
                read_at,
            } => {
                let read_at = read_at.as_ref().map(|at| xxh3_64(at.as_bytes()));
                Some((self.user(user), hash(text), *state, read_at))
            }
            Outcome::Refused { status: 404 } => None,
            Outcome::Refused { .. } | Outcome::Unknown => return Ok(()),
            _ => return Err(HistoryError::Mismatch { line: source.line }),
        };
        self.finds.push(Find { id, source, found });
        Ok(())
    }

    fn add_count(
        &mut self,
        source: Source,
        user: User,
        outcome: &Outcome,
    ) -> Result<(), HistoryError> {
        match *outcome {
            Outcome::Counted { unread } => self.counts.push(Count {
                user,
                source,
                unread,
            }),
            Outcome::Refused { .. } | Outcome::Unknown => {}
            _ => return Err(HistoryError::Mismatch { line: source.line }),
        }
        Ok(())
    }

    /// The index of the operation that has this key, or `next` if it is the first.
    fn index(&mut self, kind: Kind, user: User, key: Option<&str>, next: usize) -> usize {
        let Some(key) = key else { return next };
        let mut bytes = vec![kind as u8];
        bytes.extend_from_slice(&user.0.to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        *self.keys.entry(xxh3_128(&bytes)).or_insert(next)
    }

    fn keep(&mut self, line: u32, messages: &[Message]) -> Result<Set, HistoryError> {
        let first = self.messages.len();
        for message in messages {
            self.messages
                .push((parse(line, &message.id)?, hash(&message.text)));
        }
        Ok(Set {
            first,
            count: messages.len(),
        })
    }
}

/// Of two tries the one that tells more counts: done, then unknown, then refused.
fn merge<T: Copy>(known: &mut Known<T>, source: &mut Source, again: Known<T>, by: Source) {
    let started_us = source.started_us.min(by.started_us);
    match (*known, again) {
        (Known::Done(_), Known::Done(_)) if by.ended_us < source.ended_us => *source = by,
        (Known::Unknown | Known::Refused(_), Known::Done(_))
        | (Known::Refused(_), Known::Unknown) => {
            (*known, *source) = (again, by);
        }
        _ => {}
    }
    source.started_us = started_us;
}

fn posted(line: u32, outcome: &Outcome) -> Result<Known<MessageId>, HistoryError> {
    match outcome {
        Outcome::Posted { id } => Ok(Known::Done(parse(line, id)?)),
        other => not_done(line, other),
    }
}

fn not_done<T>(line: u32, outcome: &Outcome) -> Result<Known<T>, HistoryError> {
    match outcome {
        Outcome::Refused { status } => Ok(Known::Refused(*status)),
        Outcome::Unknown => Ok(Known::Unknown),
        _ => Err(HistoryError::Mismatch { line }),
    }
}

fn parse(line: u32, id: &str) -> Result<MessageId, HistoryError> {
    let wrong = || HistoryError::Id {
        line,
        id: id.to_owned(),
    };
    MessageId::parse(id).ok_or_else(wrong)
}

fn hash(text: &str) -> Text {
    Text(xxh3_64(text.as_bytes()))
}
