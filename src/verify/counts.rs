//! A count lies between what must wait at that time and what may.

use super::evidence::Evidence;
use super::facts::Known;
use super::violation::{Rule, Violation, Violations};

/// Checks every count.
pub fn check(evidence: &Evidence, violations: &mut Violations) {
    if evidence.facts.counts.is_empty() {
        return;
    }
    let mailboxes = Times::of_all(evidence);
    for count in &evidence.facts.counts {
        let times = &mailboxes[count.user.0 as usize];
        let (started_us, ended_us) = (count.source.started_us, count.source.ended_us);
        let may_be_there = before(&times.sent, ended_us + 1) - before(&times.delivered, started_us);
        let must_have_come = before(&times.acknowledged, started_us);
        let must_wait = must_have_come.saturating_sub(before(&times.gone, ended_us + 1));
        if (must_wait..=may_be_there).contains(&(count.unread as usize)) {
            continue;
        }
        violations.add(|| Violation {
            rule: Rule::Miscounted,
            id: None,
            user: evidence.facts.name(count.user).to_owned(),
            detail: format!(
                "has {must_wait} to {may_be_there} messages that wait, and {} were counted",
                count.unread
            ),
            operations: vec![count.source],
        });
    }
}

/// When the messages of a mailbox came and went, each list sorted.
#[derive(Default)]
struct Times {
    /// When each post that was not refused began.
    sent: Vec<u64>,
    /// When each acknowledged post was acknowledged.
    acknowledged: Vec<u64>,
    /// When each delivered message was delivered.
    delivered: Vec<u64>,
    /// From when on each acknowledged message may be gone.
    gone: Vec<u64>,
}

impl Times {
    fn of_all(evidence: &Evidence) -> Vec<Times> {
        let mut mailboxes = Vec::new();
        mailboxes.resize_with(evidence.facts.users(), Times::default);
        for post in &evidence.facts.posts {
            let times = &mut mailboxes[post.user.0 as usize];
            if !matches!(post.id, Known::Refused(_)) {
                times.sent.push(post.source.started_us);
            }
            if let Some(id) = post.id.done() {
                times.acknowledged.push(post.source.ended_us);
                times.gone.push(evidence.gone_from_us(id, post));
                // A message that is delivered and was not acknowledged makes the bound wider only.
                let taker = evidence.taken_by(id);
                times
                    .delivered
                    .extend(taker.map(|read| read.source.ended_us));
            }
        }
        for times in &mut mailboxes {
            let Times {
                sent,
                acknowledged,
                delivered,
                gone,
            } = times;
            for list in [sent, acknowledged, delivered, gone] {
                list.sort_unstable();
            }
        }
        mailboxes
    }
}

/// How many of the sorted times are before `us`.
fn before(times: &[u64], us: u64) -> usize {
    times.partition_point(|time| *time < us)
}
