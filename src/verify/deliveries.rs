//! What reads delivered was posted, to this mailbox and with this text.

use std::collections::HashMap;

use super::evidence::Evidence;
use super::facts::{Known, Read, Text, User};
use super::violation::{Rule, Violations};
use crate::domain::id::MessageId;

/// Checks every delivered message.
pub fn check(evidence: &Evidence, violations: &mut Violations) {
    let mut unacknowledged = Unacknowledged::new(evidence);
    let facts = &evidence.facts;
    for read in &facts.reads {
        let Some(set) = read.set.done() else { continue };
        for message in facts.messages(set) {
            check_message(evidence, read, *message, &mut unacknowledged, violations);
        }
    }
}

fn check_message(
    evidence: &Evidence,
    read: &Read,
    (id, text): (MessageId, Text),
    unacknowledged: &mut Unacknowledged,
    violations: &mut Violations,
) {
    let about = (id, read.user);
    let Some(post) = evidence.post(id) else {
        if let Err(reason) = unacknowledged.claim(id, read.user, text) {
            let (rule, detail) = match reason {
                Unfounded::Unknown => (Rule::NeverPosted, String::from("was never posted")),
                Unfounded::Refused(status) => (
                    Rule::NeverPosted,
                    format!("was delivered, though its post was refused with {status}"),
                ),
                Unfounded::Twice(other) => (
                    Rule::DeliveredTwice,
                    format!("is of a post that was delivered as {other} already"),
                ),
            };
            violations.add(|| evidence.violation(rule, about, detail, [read.source]));
        }
        return;
    };
    let sources = [post.source, read.source];
    if post.user != read.user {
        let detail = format!("was posted to {}", evidence.facts.name(post.user));
        violations.add(|| evidence.violation(Rule::Altered, about, detail, sources));
    } else if post.text != text {
        let detail = "was delivered with another text";
        violations.add(|| evidence.violation(Rule::Altered, about, detail, sources));
    }
}

/// The posts that have no id, by user and text; each that may have been done accounts for one id.
struct Unacknowledged(HashMap<(User, Text), Account>);

#[derive(Default)]
struct Account {
    may_be_done: usize,
    refused: Option<u16>,
    delivered: Vec<MessageId>,
}

/// Why no post accounts for a message.
enum Unfounded {
    Unknown,
    Refused(u16),
    Twice(MessageId),
}

impl Unacknowledged {
    fn new(evidence: &Evidence) -> Unacknowledged {
        let mut accounts: HashMap<_, Account> = HashMap::new();
        for post in &evidence.facts.posts {
            let account = (post.user, post.text);
            match post.id {
                Known::Done(_) => {}
                Known::Unknown => accounts.entry(account).or_default().may_be_done += 1,
                Known::Refused(status) => {
                    accounts.entry(account).or_default().refused = Some(status);
                }
            }
        }
        Unacknowledged(accounts)
    }

    fn claim(&mut self, id: MessageId, user: User, text: Text) -> Result<(), Unfounded> {
        let account = self.0.get_mut(&(user, text)).ok_or(Unfounded::Unknown)?;
        if account.delivered.contains(&id) {
            // Told by the rule of two deliveries.
            return Ok(());
        }
        if account.delivered.len() < account.may_be_done {
            account.delivered.push(id);
            return Ok(());
        }
        Err(match (account.delivered.last(), account.refused) {
            (Some(other), _) => Unfounded::Twice(*other),
            (None, Some(status)) => Unfounded::Refused(status),
            (None, None) => Unfounded::Unknown,
        })
    }
}
