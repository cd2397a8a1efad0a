//! Failure: which members are taken for dead before their lease runs out.
//!
//! Pure: what probes, connections and peers tell comes in with the time, suspects come out. Safety
//! never depends on them: a wrong suspicion costs a move. So the rules are quick at first, and slow
//! with whoever was suspected wrongly. A member whose lease has lapsed is not in the view at all.

mod damping;

use std::collections::BTreeMap;
use std::time::Duration;

use damping::Damping;

use crate::member::{Generation, Member, View};
use crate::placement::{Table, place};

/// How often each peer is probed, and how long a probe waits for its answer.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Failed probes in a row that make a peer silent.
pub const SILENT_PROBES: u32 = 3;

/// What a peer told is forgotten after this without another answer.
pub const REPORT_LIFETIME: Duration = Duration::from_secs(2);

/// How long a peer may be without the store before another that reaches it may claim its shards.
pub const STORE_LOST_FOR: Duration = Duration::from_secs(2);

/// How long nobody new is suspected because a peer has seen a newer view.
pub const CATCH_UP: Duration = Duration::from_secs(2);

/// What a peer tells in its answer to a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of its view.
    pub view_number: u64,
    /// Whom it cannot reach, by its own probes: [`Failures::doubts`] there.
    pub doubts: Vec<Generation>,
    /// Whether it has lost the store.
    pub is_store_lost: bool,
}

/// The state of the node that bears on whom it may suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The number of its view.
    pub view_number: u64,
    /// Whether the registry is away. One node's word is then not enough for any suspicion.
    pub is_frozen: bool,
    /// Since when this node has reached the store without a break; `None` while it does not.
    pub store_since: Option<Duration>,
}

/// What one node knows of its peers. Times are those of one monotonic clock.
#[derive(Clone, Debug)]
pub struct Failures {
    me: Generation,
    peers: BTreeMap<Generation, Peer>,
    /// Since when some peer has seen a newer view.
    behind_since: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    /// Whether it reset a connection since its last answer.
    is_reset: bool,
    /// Failed probes since its last answer.
    failed_probes: u32,
    /// What it told last, and when.
    report: Option<(Report, Duration)>,
    /// Since when it has told that the store is lost.
    store_lost_since: Option<Duration>,
    damping: Damping,
}

impl Failures {
    /// A node that knows no peers yet.
    pub fn new(me: Generation) -> Failures {
        Failures {
            me,
            peers: BTreeMap::new(),
            behind_since: None,
        }
    }

    /// Watches the members of this view, and forgets all others.
    pub fn watch(&mut self, view: &View) {
        self.peers.retain(|peer, _| view.member(*peer).is_some());
        let members = view.members().iter().map(|member| member.generation);
        for peer in members.filter(|member| *member != self.me) {
            self.peers.entry(peer).or_default();
        }
    }

    /// The peer reset a connection, or refused one.
    pub fn connection_reset(&mut self, peer: Generation) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.is_reset = true;
        }
    }

    /// A probe had no answer in time, or could not be sent.
    pub fn probe_failed(&mut self, peer: Generation) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.failed_probes = peer.failed_probes.saturating_add(1);
        }
    }

    /// A probe was answered, with this report.
    pub fn probe_answered(&mut self, peer: Generation, report: Report, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            let lost_since = peer.store_lost_since.unwrap_or(now);
            peer.store_lost_since = report.is_store_lost.then_some(lost_since);
            peer.report = Some((report, now));
            peer.is_reset = false;
            peer.failed_probes = 0;
        }
    }

    /// The peer made a claim at `claimed` or later: it lived then, whatever the probes said before.
    pub fn has_claimed(&mut self, peer: Generation, claimed: Duration, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&peer)
            && !peer.damping.has_evidence_since_after(claimed)
        {
            peer.is_reset = false;
            peer.failed_probes = 0;
            peer.damping.refute(now);
        }
    }

    /// Whom this node cannot reach, by its own probes alone: what it tells its peers.
    pub fn doubts(&self) -> Vec<Generation> {
        let doubted = self.peers.iter().filter(|(_, peer)| peer.is_doubted());
        doubted.map(|(generation, _)| *generation).collect()
    }

    /// Peers that did not answer the last probe.
    pub fn unreached(&self) -> impl Iterator<Item = Generation> {
        let unreached = self.peers.iter().filter(|(_, peer)| peer.failed_probes > 0);
        unreached.map(|(generation, _)| *generation)
    }

    /// A peer that answers this node, and has not said that it cannot reach this other one.
    pub fn go_between(&self, to: Generation) -> Option<Generation> {
        let reaches = |peer: &Peer| {
            let report = peer.report.as_ref();
            peer.failed_probes == 0 && report.is_some_and(|(r, _)| !r.doubts.contains(&to))
        };
        let mut peers = self.peers.iter();
        let (peer, _) = peers.find(|(peer, state)| **peer != to && reaches(state))?;
        Some(*peer)
    }

    /// Who is taken for dead, as things are now.
    pub fn suspects(&mut self, outlook: Outlook, now: Duration) -> Vec<Generation> {
        self.forget_old_reports(now);
        let may_suspect = self.has_caught_up(outlook, now);
        let evidence: Vec<_> = self
            .peers
            .iter()
            .map(|(generation, peer)| self.is_failed(*generation, peer, outlook, now))
            .collect();
        let mut suspects = Vec::new();
        for ((generation, peer), is_failed) in self.peers.iter_mut().zip(evidence) {
            if peer.damping.judge(is_failed, may_suspect, now) {
                suspects.push(*generation);
            }
        }
        suspects
    }

    fn forget_old_reports(&mut self, now: Duration) {
        for peer in self.peers.values_mut() {
            peer.report
                .take_if(|(_, told_at)| now >= *told_at + REPORT_LIFETIME);
            if peer.report.is_none() {
                peer.store_lost_since = None;
            }
        }
    }

    /// Whoever has an older view than a peer may not know yet what changed, so that two views would
    /// take shards from each other. It waits for the next view, within limits: a registry that lost
    /// its data begins its numbers again.
    fn has_caught_up(&mut self, outlook: Outlook, now: Duration) -> bool {
        let mut reports = self.peers.values().filter_map(|peer| peer.report.as_ref());
        let is_behind = reports.any(|(report, _)| report.view_number > outlook.view_number);
        if outlook.is_frozen || !is_behind {
            self.behind_since = None;
            return true;
        }
        now >= *self.behind_since.get_or_insert(now) + CATCH_UP
    }

    /// Whether there is evidence enough against a peer, damping aside.
    fn is_failed(
        &self,
        generation: Generation,
        peer: &Peer,
        outlook: Outlook,
        now: Duration,
    ) -> bool {
        if peer.has_lost_store(outlook.store_since, now) {
            return true;
        }
        if peer.failed_probes == 0 {
            return false;
        }
        let one_is_enough = peer.is_reset && !outlook.is_frozen && !peer.damping.is_strict(now);
        one_is_enough || self.witnesses(generation) + usize::from(peer.is_doubted()) >= 2
    }

    /// How many other peers cannot reach this one.
    fn witnesses(&self, suspect: Generation) -> usize {
        let reports = self.peers.values().filter_map(|peer| peer.report.as_ref());
        reports.filter(|(r, _)| r.doubts.contains(&suspect)).count()
    }
}

impl Peer {
    fn is_doubted(&self) -> bool {
        self.failed_probes >= SILENT_PROBES || self.is_reset && self.failed_probes > 0
    }

    fn has_lost_store(&self, mine_since: Option<Duration>, now: Duration) -> bool {
        let lost_since = self.store_lost_since.zip(mine_since);
        lost_since.is_some_and(|(lost, mine)| now >= lost.max(mine) + STORE_LOST_FOR)
    }
}

/// Who should own each shard when the suspects own none.
pub fn place_without(view: &View, suspects: &[Generation], owners: &Table) -> Table {
    let members = view.members().iter();
    let members = members.filter(|member| !suspects.contains(&member.generation));
    let members: Vec<Member> = members.cloned().collect();
    place(&members, owners)
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
