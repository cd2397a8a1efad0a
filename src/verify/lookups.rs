//! What look-ups tell agrees with what was posted and delivered, and at the end all of it was asked.

use std::collections::{HashMap, HashSet};

use super::evidence::{Evidence, deadline_us};
use super::facts::{Find, Known, Post, Read, User};
use super::history::State;
use super::violation::{Rule, Violation, Violations};
use crate::domain::id::MessageId;

/// Checks every look-up, and that none is missing at the end.
pub fn check(evidence: &Evidence, violations: &mut Violations) {
    let settled_us = settled_us(evidence);
    let mut looked_up: HashSet<MessageId> = HashSet::with_capacity(evidence.facts.finds.len());
    let mut nobodys: HashMap<User, HashMap<Option<u64>, &Find>> = HashMap::new();
    for find in &evidence.facts.finds {
        if find.source.started_us >= settled_us {
            looked_up.insert(find.id);
        }
        let Some(post) = evidence.post(find.id) else {
            continue;
        };
        if let Some((rule, detail)) = disagreement(evidence, find, post) {
            let (about, sources) = ((find.id, post.user), [post.source, find.source]);
            violations.add(|| evidence.violation(rule, about, detail, sources));
        } else if let Some((.., State::Read, read_at)) = find.found
            && evidence.taken_by(find.id).is_none()
        {
            nobodys
                .entry(post.user)
                .or_default()
                .entry(read_at)
                .or_insert(find);
        }
    }
    for (user, times) in nobodys {
        check_takers(evidence, user, &times, violations);
    }
    for (id, post) in evidence.acknowledged() {
        if !looked_up.contains(&id) {
            let (about, detail) = ((id, post.user), "was not looked up at the end");
            violations.add(|| evidence.violation(Rule::NotLookedUp, about, detail, [post.source]));
        }
    }
}

/// When the last post and the last read had ended.
fn settled_us(evidence: &Evidence) -> u64 {
    let posts = evidence.facts.posts.iter().map(|post| post.source.ended_us);
    let reads = evidence.facts.reads.iter().map(|read| read.source.ended_us);
    posts.chain(reads).max().unwrap_or(0)
}

/// What is wrong with a look-up of this acknowledged message by itself.
fn disagreement(evidence: &Evidence, find: &Find, post: &Post) -> Option<(Rule, &'static str)> {
    let Some((user, text, state, _)) = find.found else {
        let was_known = find.source.started_us > post.source.ended_us;
        return was_known.then_some((Rule::NotFound, "was acknowledged, and cannot be found"));
    };
    if (user, text) != (post.user, post.text) {
        return Some((Rule::Altered, "was found with another text or user"));
    }
    let taker = evidence.taken_by(find.id);
    let is_delivered = |read: &Read| read.source.ended_us < find.source.started_us;
    match state {
        State::Read => {
            let since_us = match taker {
                Some(read) => Some(read.source.started_us),
                None => evidence.in_doubt(post.user).since_us,
            };
            let by_nobody = since_us.is_none_or(|since| find.source.ended_us < since);
            by_nobody.then_some((Rule::ReadByNobody, "is told as read, and no read took it"))
        }
        State::Unread | State::Expired if taker.is_some_and(is_delivered) => {
            Some((Rule::NotConsumed, "was delivered, and is not told as read"))
        }
        State::Expired => (find.source.ended_us < deadline_us(post))
            .then_some((Rule::ExpiredEarly, "is told as expired before its deadline")),
        State::Unread => None,
    }
}

/// One read has one time: of the messages that were read and never delivered there are no more times
/// than reads in doubt.
fn check_takers(
    evidence: &Evidence,
    user: User,
    times: &HashMap<Option<u64>, &Find>,
    violations: &mut Violations,
) {
    let reads = evidence.in_doubt(user).reads;
    if times.len() <= reads {
        return;
    }
    let mut shown: Vec<_> = times.values().collect();
    shown.sort_by_key(|find| find.source.line);
    let unknown = evidence.facts.reads.iter();
    let unknown = unknown.filter(|read| read.user == user && read.set == Known::Unknown);
    violations.add(|| Violation {
        rule: Rule::ReadByNobody,
        id: shown.first().map(|find| find.id),
        user: evidence.facts.name(user).to_owned(),
        detail: format!(
            "and others were read at {} times and delivered to nobody, with {reads} reads in doubt",
            times.len()
        ),
        operations: shown
            .iter()
            .map(|find| find.source)
            .chain(unknown.map(|r| r.source))
            .collect(),
    });
}
