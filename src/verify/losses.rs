//! What was acknowledged is delivered by the next read, unless another read may have taken it, or its
//! time ran out.

use super::evidence::Evidence;
use super::facts::{Read, Source};
use super::violation::{Rule, Violations};

/// Checks every acknowledged message against the reads that began after its acknowledgement.
pub fn check(evidence: &Evidence, violations: &mut Violations) {
    let mailboxes = Mailboxes::new(evidence);
    for (id, post) in evidence.acknowledged() {
        let gone_from_us = evidence.gone_from_us(id, post);
        let Some(read) = mailboxes.first_ended(post.user.0, post.source.ended_us) else {
            continue;
        };
        if read.ended_us >= gone_from_us {
            continue;
        }
        let about = (id, post.user);
        match evidence.taken_by(id) {
            None => violations.add(|| {
                let detail = "was acknowledged, and a later read did not get it";
                evidence.violation(Rule::Lost, about, detail, [post.source, read])
            }),
            Some(taker) => violations.add(|| {
                let detail = "was missed by a read between its acknowledgement and its delivery";
                let sources = [post.source, read, taker.source];
                evidence.violation(Rule::Missed, about, detail, sources)
            }),
        }
    }
}

/// The reads that took all there was, by user.
struct Mailboxes(Vec<Vec<Emptied>>);

/// One of them.
struct Emptied {
    started_us: u64,
    /// Of this and all that began later the one that ended first.
    first_ended: Source,
}

impl Mailboxes {
    fn new(evidence: &Evidence) -> Mailboxes {
        let mut mailboxes: Vec<Vec<Emptied>> = Vec::new();
        mailboxes.resize_with(evidence.facts.users(), Vec::new);
        let empties = |read: &&Read| read.set.done().is_some() && !read.is_full;
        for read in evidence.facts.reads.iter().filter(empties) {
            mailboxes[read.user.0 as usize].push(Emptied {
                started_us: read.source.started_us,
                first_ended: read.source,
            });
        }
        for reads in &mut mailboxes {
            reads.sort_by_key(|read| read.started_us);
            let mut first: Option<Source> = None;
            for read in reads.iter_mut().rev() {
                let earlier = first.filter(|first| first.ended_us < read.first_ended.ended_us);
                read.first_ended = earlier.unwrap_or(read.first_ended);
                first = Some(read.first_ended);
            }
        }
        Mailboxes(mailboxes)
    }

    /// Of the reads that began after `us` the one that ended first.
    fn first_ended(&self, user: u32, us: u64) -> Option<Source> {
        let reads = &self.0[user as usize];
        let later = reads.partition_point(|read| read.started_us <= us);
        reads.get(later).map(|read| read.first_ended)
    }
}
