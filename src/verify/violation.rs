//! What is told of a broken promise: the rule, the message, and the operations that show it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::facts::Source;
use crate::domain::id::MessageId;

/// So many violations are kept in full; more are only counted.
const KEPT_MAX: usize = 1_000;

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What was promised.
    pub rule: Rule,
    /// The message; none where it is about a whole mailbox.
    #[serde(serialize_with = "id_text")]
    pub id: Option<MessageId>,
    /// The mailbox.
    pub user: String,
    /// What is wrong.
    pub detail: String,
    /// The operations that show it.
    pub operations: Vec<Source>,
}

/// What must hold of every history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A message is delivered by at most one read.
    DeliveredTwice,
    /// What is delivered was posted, and the post was not refused.
    NeverPosted,
    /// Recipient and text are those of the post.
    Altered,
    /// An acknowledged message is delivered or stays.
    Lost,
    /// A read delivers all that were acknowledged before it began.
    Missed,
    /// An acknowledged message can be looked up.
    NotFound,
    /// At the end each acknowledged message was looked up: else nothing is proved of it.
    NotLookedUp,
    /// What is told as read was delivered, or may have been.
    ReadByNobody,
    /// What was delivered is told as read.
    NotConsumed,
    /// A message expires not before its deadline.
    ExpiredEarly,
    /// A repeat with the same key is answered the same.
    RepeatDiffers,
    /// Ids of a mailbox grow in the order of arrival, and reads deliver in it.
    OutOfOrder,
    /// Two posts have two ids.
    IdTwice,
    /// A count is of what waits.
    Miscounted,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule)?;
        if let Some(id) = self.id {
            write!(f, "message {id} ")?;
        }
        write!(f, "of {} {}", self.user, self.detail)?;
        for (index, operation) in self.operations.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{operation}")?;
        }
        Ok(())
    }
}

/// The violations found so far.
#[derive(Debug, Default)]
pub struct Violations {
    /// The first of them, at most 1,000.
    pub kept: Vec<Violation>,
    /// How many there are.
    pub total: u64,
}

impl Violations {
    /// Adds what `violation` makes.
    pub fn add(&mut self, violation: impl FnOnce() -> Violation) {
        self.total += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(violation());
        }
    }
}

fn id_text<S: Serializer>(id: &Option<MessageId>, serializer: S) -> Result<S::Ok, S::Error> {
    id.map(|id| id.to_string()).serialize(serializer)
}
