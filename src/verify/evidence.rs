//! What the rules look up: which post an id is of, which read took a message, and which reads of a
//! mailbox may have taken some without telling.

use std::collections::HashMap;

use super::facts::{Facts, Known, Post, Read, Source, User};
use super::violation::{Rule, Violation, Violations};
use crate::domain::id::MessageId;

/// By so much a message may end before its time: the clocks of two nodes, each just not found out.
const CLOCKS_US: u64 = 2_500_000;

/// The facts of a history with what is to be looked up in them.
pub struct Evidence {
    pub facts: Facts,
    /// The acknowledged posts by id.
    posts: HashMap<MessageId, usize>,
    /// The read that delivered an id.
    reads: HashMap<MessageId, usize>,
    /// By user.
    in_doubt: Vec<InDoubt>,
}

/// The reads of a mailbox of which nobody knows what they took.
#[derive(Clone, Copy, Default)]
pub struct InDoubt {
    pub reads: usize,
    /// When the first of them began.
    pub since_us: Option<u64>,
}

impl Evidence {
    /// Indexes the facts; two posts of one id and two deliveries are violations.
    pub fn new(facts: Facts, violations: &mut Violations) -> Evidence {
        let mut in_doubt = vec![InDoubt::default(); facts.users()];
        for read in facts.reads.iter().filter(|read| read.set == Known::Unknown) {
            let doubt = &mut in_doubt[read.user.0 as usize];
            let began_us = read.source.started_us;
            doubt.reads += 1;
            doubt.since_us = Some(doubt.since_us.map_or(began_us, |since| since.min(began_us)));
        }
        Evidence {
            posts: posts_by_id(&facts, violations),
            reads: reads_by_id(&facts, violations),
            in_doubt,
            facts,
        }
    }

    /// Each acknowledged post.
    pub fn acknowledged(&self) -> impl Iterator<Item = (MessageId, &Post)> {
        let posts = self.facts.posts.iter();
        posts.filter_map(|post| Some((post.id.done()?, post)))
    }

    /// The post that was given this id.
    pub fn post(&self, id: MessageId) -> Option<&Post> {
        self.posts.get(&id).map(|index| &self.facts.posts[*index])
    }

    /// The read that delivered this message.
    pub fn taken_by(&self, id: MessageId) -> Option<&Read> {
        self.reads.get(&id).map(|index| &self.facts.reads[*index])
    }

    /// The reads of a mailbox of which nobody knows what they took.
    pub fn in_doubt(&self, user: User) -> InDoubt {
        self.in_doubt[user.0 as usize]
    }

    /// From when on an acknowledged message may be gone from its mailbox.
    pub fn gone_from_us(&self, id: MessageId, post: &Post) -> u64 {
        let taken_us = match self.taken_by(id) {
            Some(read) => Some(read.source.started_us),
            None => self.in_doubt(post.user).since_us,
        };
        taken_us.unwrap_or(u64::MAX).min(deadline_us(post))
    }

    /// A violation about a message.
    pub fn violation<const N: usize>(
        &self,
        rule: Rule,
        (id, user): (MessageId, User),
        detail: impl Into<String>,
        operations: [Source; N],
    ) -> Violation {
        violation(&self.facts, rule, (id, user), detail, operations)
    }
}

/// Before this a message has not expired, whatever clock it went by.
pub fn deadline_us(post: &Post) -> u64 {
    let deadline_us = post.source.started_us.saturating_add(post.lifetime_us);
    deadline_us.saturating_sub(CLOCKS_US)
}

fn posts_by_id(facts: &Facts, violations: &mut Violations) -> HashMap<MessageId, usize> {
    let mut posts = HashMap::with_capacity(facts.posts.len());
    for (index, post) in facts.posts.iter().enumerate() {
        let Some(id) = post.id.done() else { continue };
        if let Some(other) = posts.insert(id, index) {
            let other: &Post = &facts.posts[other];
            let sources = [other.source, post.source];
            let about = (id, post.user);
            violations.add(|| violation(facts, Rule::IdTwice, about, "is of two posts", sources));
        }
    }
    posts
}

fn reads_by_id(facts: &Facts, violations: &mut Violations) -> HashMap<MessageId, usize> {
    let mut reads: HashMap<_, usize> = HashMap::new();
    for (index, read) in facts.reads.iter().enumerate() {
        let Some(set) = read.set.done() else { continue };
        for (id, _) in facts.messages(set) {
            // Within one answer too.
            let Some(first) = reads.insert(*id, index) else {
                continue;
            };
            let sources = [facts.reads[first].source, read.source];
            let (about, detail) = ((*id, read.user), "was delivered twice");
            violations.add(|| violation(facts, Rule::DeliveredTwice, about, detail, sources));
        }
    }
    reads
}

fn violation<const N: usize>(
    facts: &Facts,
    rule: Rule,
    (id, user): (MessageId, User),
    detail: impl Into<String>,
    operations: [Source; N],
) -> Violation {
    Violation {
        rule,
        id: Some(id),
        user: facts.name(user).to_owned(),
        detail: detail.into(),
        operations: operations.to_vec(),
    }
}
