//! Places: compares what the claims say with what should be, and begins what follows.

use std::cmp::Reverse;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cluster::failure::place_without;
use cluster::member::{Generation, Member, View};
use cluster::placement::Table;
use cluster::shard::Shard;
use tokio::task::spawn_local;

use super::choice::{Candidate, Choice, Standing, Terms};
use super::control::Control;
use super::hand_over::HandedOver;
use super::holdings::Stage;
use crate::domain::username::{SHARDS, ShardId};

/// Shards that are recovered at once.
const ARRIVING_MAX: usize = 4;

/// Shards that are handed over at once, and while draining.
const LEAVING_MAX: usize = 2;
const LEAVING_MAX_DRAINING: usize = 8;

/// How long a shard whose claim or hand-over failed is left alone first; it doubles up to the longest. Who
/// waits for a shard that nobody has waits that long at most when all is well again; a shard that is not
/// handed over is served meanwhile, and hangs at every try.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST_UNOWNED: Duration = Duration::from_secs(10);
const PAUSE_LONGEST_OWNED: Duration = Duration::from_secs(60);

/// A shard that is left alone for a while.
#[derive(Clone, Copy, Debug)]
pub struct Paused {
    since: Instant,
    lasts: Duration,
    /// Who did not take it over; `None` after a claim.
    target: Option<Generation>,
}

impl Paused {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= self.lasts
    }
}

/// How long shards without an owner stay meant for whom they were meant first. That plan may have been
/// another on each node; after this all have heard of the claims that it led to.
const PLAN_KEPT_FOR: Duration = Duration::from_secs(1);

/// The last placement with what it was made from.
pub struct Placed {
    members: Vec<Member>,
    owners: Table,
    pub(super) want: Table,
    /// When the shards without an owner were planned for.
    planned: Instant,
}

impl Placed {
    /// Whether it still holds for shards without an owner.
    fn is_fresh(&self) -> bool {
        self.planned.elapsed() < PLAN_KEPT_FOR
    }

    /// Whether nothing has changed since.
    fn is_of(&self, members: &[Member], owners: &Table) -> bool {
        let has_orphans = || owners.iter().any(|(_, owner)| owner.is_none());
        let is_same = self.members == *members && self.owners == *owners;
        is_same && (self.is_fresh() || !has_orphans())
    }

    /// Shards without an owner stay meant for whom they were meant: nodes hear of each other's claims one
    /// by one, and would otherwise plan anew for the rest from different knowledge.
    fn keep_orphans(&self, owners: &Table, want: &mut Table) {
        for (shard, owner) in owners.iter() {
            let planned = self.want.owner(shard);
            if owner.is_none() && self.owners.owner(shard).is_none() && planned.is_some() {
                want.set(shard, planned);
            }
        }
    }
}

impl Control {
    /// Claims and hands over what is to be moved now.
    pub fn place(self: &Rc<Self>) {
        self.judge();
        if self.unread.borrow().len() == SHARDS {
            return;
        }
        let (view, suspects) = (self.view(), self.suspects.borrow().clone());
        let owners = self.owners(&view, &suspects);
        let want = self.want(&view, &suspects, &owners);
        let is_cold = owners.iter().all(|(_, owner)| owner.is_none());
        let unowned = owners.iter().filter(|(_, owner)| owner.is_none()).count();
        let terms = Terms {
            me: self.generation(),
            may_claim: self.clocks.borrow_mut().may_claim(self.now())
                && (!is_cold || self.membership.borrow().is_stable()),
            has_room: self.holdings.has_room(),
            // What nobody has comes first: who has how much is not known before.
            may_hand_over: unowned == 0 || self.should_leave(),
        };
        let (mut candidates, mut left) = (Vec::new(), 0);
        for shard in ShardId::all() {
            let standing = Standing {
                stage: self.holdings.stage(shard),
                owner: owners.owner(Shard(shard.0)),
                wanted: want.owner(Shard(shard.0)),
                is_unread: self.unread.borrow().contains(&shard),
            };
            match standing.choose(terms) {
                Choice::Claim => candidates.push(self.candidate(shard)),
                Choice::AwaitRoom => left += 1,
                Choice::HandOver(target) => self.hand_over(shard, target),
                Choice::Leave => {}
            }
        }
        candidates.sort_unstable();
        for candidate in candidates {
            self.claim(candidate.shard);
        }
        self.tell_room(left);
        // Who is no member, and may only be new, gives this node no sign of what it serves.
        let is_unknown = |owner: &Generation| view.member(*owner).is_none();
        let owned = owners.iter().filter_map(|(_, owner)| owner);
        let unknown = owned.filter(is_unknown).count();
        let missing = unowned + unknown;
        self.shared.metrics.cluster.unowned.set(missing as i64);
        if missing > 0 {
            self.read_claims.notify_one();
        }
    }

    /// The owner that each shard should have; computed only when something has changed.
    fn want(&self, view: &View, suspects: &[Generation], owners: &Table) -> Table {
        let mut placed = self.placed.borrow_mut();
        let living = |member: &&Member| !suspects.contains(&member.generation);
        let members: Vec<_> = view.members().iter().filter(living).cloned().collect();
        if let Some(last) = placed.as_ref().filter(|last| last.is_of(&members, owners)) {
            return last.want.clone();
        }
        let mut want = place_without(view, suspects, owners);
        let last = placed.as_ref();
        let last = last.filter(|last| last.members == members && last.is_fresh());
        if let Some(last) = last {
            last.keep_orphans(owners, &mut want);
        }
        *placed = Some(Placed {
            planned: last.map_or_else(Instant::now, |last| last.planned),
            members,
            owners: owners.clone(),
            want: want.clone(),
        });
        want
    }

    fn candidate(&self, shard: ShardId) -> Candidate {
        Candidate {
            has_failed: self.paused.borrow()[shard.index()].is_some(),
            waiters: Reverse(self.shared.routing.waiters(shard)),
            shard,
        }
    }

    /// Says once that shards wait for memory.
    fn tell_room(&self, left: usize) {
        if self.is_full.replace(left > 0) != (left > 0) && left > 0 {
            tracing::error!(
                shards = left,
                "no memory for shards that nobody has: they wait; raise --memory-limit, or add a node"
            );
        }
    }

    fn claim(self: &Rc<Self>, shard: ShardId) {
        if self.is_paused(shard, None) || self.holdings.count(Stage::Arriving) >= ARRIVING_MAX {
            return;
        }
        let (control, metrics) = (self.clone(), self.shared.metrics.clone());
        // It begins now, so that the count above is right for the next shard.
        let claiming = self.holdings.claim(shard);
        spawn_local(async move {
            match claiming.await {
                Ok(()) => {
                    control.forgive(shard);
                    metrics.cluster.moves.claims.inc();
                }
                Err(error) => {
                    metrics.cluster.moves.claim_errors.inc();
                    if error.is_damage() {
                        metrics.cluster.moves.damaged.inc();
                        tracing::error!(shard = shard.0, %error, "a claim failed; it is tried again");
                    } else {
                        tracing::warn!(shard = shard.0, %error, "a claim failed; it is tried again");
                    }
                    control.pause(shard, None);
                    control.forget_own_claim(shard);
                }
            }
            control.place();
        });
    }

    fn hand_over(self: &Rc<Self>, shard: ShardId, target: Generation) {
        let most = match self.should_leave() {
            true => LEAVING_MAX_DRAINING,
            false => LEAVING_MAX,
        };
        if self.is_paused(shard, Some(target)) || self.holdings.count(Stage::Leaving) >= most {
            return;
        }
        let Some((target, client)) = self.peers.peer(target) else {
            return;
        };
        let control = self.clone();
        let moving = self.holdings.hand_over(shard, target.clone(), client);
        spawn_local(async move {
            match moving.await {
                HandedOver::There(epoch) => {
                    control.forgive(shard);
                    control.hear_of(shard, epoch, &target);
                }
                HandedOver::Gone => {
                    control.pause(shard, None);
                    control.forget_own_claim(shard);
                }
                HandedOver::Stayed => control.pause(shard, Some(target.generation)),
            }
            control.place();
        });
    }

    /// Leaves a shard alone for a while, longer after every failure.
    fn pause(&self, shard: ShardId, target: Option<Generation>) {
        let paused = &mut self.paused.borrow_mut()[shard.index()];
        let last = paused.filter(|last| last.target == target);
        let last = last.map_or(PAUSE_FIRST / 2, |last| last.lasts);
        let longest = match target {
            None => PAUSE_LONGEST_UNOWNED,
            Some(_) => PAUSE_LONGEST_OWNED,
        };
        *paused = Some(Paused {
            since: Instant::now(),
            lasts: (last * 2).min(longest),
            target,
        });
    }

    /// A shard is well again.
    fn forgive(&self, shard: ShardId) {
        self.paused.borrow_mut()[shard.index()] = None;
    }

    /// All shards are to be tried at once: what they failed by is over.
    pub fn forgive_all(&self) {
        self.paused.borrow_mut().fill(None);
    }

    fn is_paused(&self, shard: ShardId, target: Option<Generation>) -> bool {
        let paused = self.paused.borrow()[shard.index()];
        paused.is_some_and(|paused| paused.target == target && !paused.is_over())
    }
}
