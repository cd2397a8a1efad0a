//! Ids of a mailbox grow: those of posts in the order of arrival, those of reads within one answer and
//! from one read to the next.

use super::evidence::Evidence;
use super::facts::{Source, User};
use super::violation::{Rule, Violations};
use crate::domain::id::MessageId;

/// Checks posts among themselves and reads among themselves.
pub fn check(evidence: &Evidence, violations: &mut Violations) {
    let posts = evidence.acknowledged().map(|(id, post)| Step {
        user: post.user,
        source: post.source,
        low: id,
        high: id,
    });
    let posts: Vec<_> = posts.collect();
    check_growth(evidence, posts, violations);

    let mut reads = Vec::new();
    for read in &evidence.facts.reads {
        let Some(set) = read.set.done() else { continue };
        let ids = evidence.facts.messages(set).iter().map(|(id, _)| *id);
        if let Some(id) = first_descent(ids.clone()) {
            let (about, detail) = ((id, read.user), "is out of order in its answer");
            violations.add(|| evidence.violation(Rule::OutOfOrder, about, detail, [read.source]));
        }
        if let (Some(low), Some(high)) = (ids.clone().min(), ids.max()) {
            reads.push(Step {
                user: read.user,
                source: read.source,
                low,
                high,
            });
        }
    }
    check_growth(evidence, reads, violations);
}

/// An operation with the smallest and the largest id that it gave.
struct Step {
    user: User,
    source: Source,
    low: MessageId,
    high: MessageId,
}

fn first_descent(ids: impl Iterator<Item = MessageId> + Clone) -> Option<MessageId> {
    let next = ids.clone().skip(1);
    ids.zip(next)
        .find(|(one, next)| one > next)
        .map(|(_, next)| next)
}

/// Of two operations on one mailbox of which one ended before the other began, the later one has the
/// larger ids. Those that overlap have no order.
fn check_growth(evidence: &Evidence, mut steps: Vec<Step>, violations: &mut Violations) {
    steps.sort_by_key(|step| (step.user, step.source.started_us));
    for mailbox in steps.chunk_by(|one, other| one.user == other.user) {
        let mut ended: Vec<&Step> = mailbox.iter().collect();
        ended.sort_by_key(|step| step.source.ended_us);
        let mut ended = ended.into_iter().peekable();
        let mut largest: Option<&Step> = None;
        for step in mailbox {
            while let Some(before) =
                ended.next_if(|before| before.source.ended_us < step.source.started_us)
            {
                largest = largest
                    .filter(|largest| largest.high > before.high)
                    .or(Some(before));
            }
            let Some(before) = largest.filter(|before| before.high > step.low) else {
                continue;
            };
            let detail = format!("came after {}, which is larger", before.high);
            let (about, sources) = ((step.low, step.user), [before.source, step.source]);
            violations.add(|| evidence.violation(Rule::OutOfOrder, about, detail, sources));
        }
    }
}
