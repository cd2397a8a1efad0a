//! Decides, again and again, which shards this node should have: claims what it should own and nobody
//! does, and hands over what another should own.
//!
//! Everything here may be wrong or late and costs only time: the claims keep the promise. The rules
//! are those of crate `cluster`: `membership` for who is there, `failure` for who is taken for dead,
//! `placement` for who should own what.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::clocks::{Clock as SeenClock, Clocks, SKEW_MS_MAX, offset_ms};
use cluster::failure::{Failures, Outlook, Report};
use cluster::member::{Generation, Member, State, View};
use cluster::membership::Membership;
use cluster::placement::Table;
use cluster::registry::Reading;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::detours::Detour;
use super::drainers::Drainers;
use super::forward::Shared;
use super::holdings::{Holdings, Stage};
use super::known::KnownClaims;
use super::peers::Peers;
use super::place::{Paused, Placed};
use super::request::{Serves, Sign};
use super::routing::Remote;
use super::unserved::Unserved;
use crate::domain::username::ShardId;
use crate::shard::clock::Clock;
use crate::store::journal::Journal;

/// An answer that took longer does not tell the time well enough to be doubted by it.
const CLOCK_ANSWERED_WITHIN: Duration = Duration::from_millis(SKEW_MS_MAX.unsigned_abs());

/// The state of the node's one thread.
pub struct Control {
    pub(super) shared: Arc<Shared>,
    pub(super) holdings: Rc<Holdings>,
    pub(super) peers: Peers,
    pub(super) failures: RefCell<Failures>,
    pub(super) membership: RefCell<Membership>,
    pub(super) known: RefCell<KnownClaims>,
    /// The cluster's name.
    pub(super) cluster: String,
    /// What this node tells of itself.
    pub(super) me: RefCell<Member>,
    pub(super) is_draining: Cell<bool>,
    drainers: RefCell<Drainers>,
    /// When the registry was asked for what it answered last.
    pub(super) registry_asked: Cell<Option<Duration>>,
    /// Whether the registry has heard of this node.
    pub(super) has_joined: Cell<bool>,
    /// Rung when the registry should hear of this node at once.
    pub(super) renew: Notify,
    /// Rung when the claims should be read at once.
    pub(super) read_claims: Notify,
    /// What living owners do not serve.
    pub(super) unserved: RefCell<Unserved>,
    /// Shards of which it is not known whether somebody has them: their claims were never read.
    pub(super) unread: RefCell<BTreeSet<ShardId>>,
    pub(super) store_since: Cell<Option<Duration>>,
    /// When the last reading of the claims began.
    pub(super) claims_asked: Cell<Duration>,
    pub(super) clocks: RefCell<Clocks>,
    pub(super) clock: Clock,
    pub(super) is_clock_right: Cell<bool>,
    started: Instant,
    pub(super) suspects: RefCell<Vec<Generation>>,
    /// Whether shards that nobody has wait for memory.
    pub(super) is_full: Cell<bool>,
    pub(super) paused: RefCell<Vec<Option<Paused>>>,
    pub(super) placed: RefCell<Option<Placed>>,
}

impl Control {
    /// A node that knows nothing yet.
    pub fn new(
        shared: Arc<Shared>,
        holdings: Rc<Holdings>,
        me: Member,
        cluster: String,
        membership: Membership,
        clock: Clock,
    ) -> Control {
        Control {
            peers: Peers::new(shared.clone()),
            failures: RefCell::new(Failures::new(me.generation)),
            membership: RefCell::new(membership),
            known: RefCell::default(),
            cluster,
            me: RefCell::new(me),
            is_draining: Cell::new(false),
            drainers: RefCell::default(),
            registry_asked: Cell::new(None),
            has_joined: Cell::new(false),
            renew: Notify::new(),
            read_claims: Notify::new(),
            unserved: RefCell::default(),
            unread: RefCell::new(ShardId::all().collect()),
            store_since: Cell::new(None),
            claims_asked: Cell::new(Duration::ZERO),
            clocks: RefCell::default(),
            clock,
            is_clock_right: Cell::new(true),
            started: Instant::now(),
            suspects: RefCell::default(),
            is_full: Cell::new(false),
            paused: RefCell::new(vec![None; crate::domain::username::SHARDS]),
            placed: RefCell::new(None),
            shared,
            holdings,
        }
    }

    /// This start of this node.
    pub fn generation(&self) -> Generation {
        self.me.borrow().generation
    }

    /// The monotonic time that the rules go by.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// This node's time, as its shards have it.
    pub fn now_ms(&self) -> u64 {
        self.clock.now().0
    }

    /// What this node tells with a sign of life.
    pub fn sign(&self) -> Sign {
        // What is frozen to be handed over is this node's until the target has it.
        let here =
            |shard: &ShardId| matches!(self.holdings.stage(*shard), Stage::Here | Stage::Leaving);
        let serves = |shard: ShardId| Serves::new(shard, self.holdings.epoch(shard));
        let doubts = self.failures.borrow().doubts();
        Sign {
            view_number: self.membership.borrow().view().number,
            doubts: doubts.into_iter().map(|doubted| doubted.0).collect(),
            is_store_lost: self.holdings.stores.journal.is_away(),
            wall_ms: self.now_ms(),
            serves: ShardId::all().filter(here).map(serves).collect(),
        }
    }

    /// A peer gave a sign of life.
    pub fn heard_sign(&self, peer: &Arc<Remote>, sign: &Sign, asked_ms: u64) {
        let report = Report {
            view_number: sign.view_number,
            doubts: sign.doubts.iter().copied().map(Generation).collect(),
            is_store_lost: sign.is_store_lost,
        };
        let now = self.now();
        self.failures
            .borrow_mut()
            .probe_answered(peer.generation, report, now);
        self.drainers.borrow_mut().lives(peer.generation, now);
        if sign.wall_ms > 0 {
            let offset = offset_ms(asked_ms, sign.wall_ms, self.now_ms());
            let clock = SeenClock::Peer(peer.generation);
            self.clocks.borrow_mut().seen(clock, offset, now);
        }
        for serves in &sign.serves {
            if let Some((shard, epoch)) = serves.shard() {
                self.hear_of(shard, epoch, peer);
            }
        }
        // A peer that has no time to tell more tells no time either.
        if sign.wall_ms > 0 {
            self.note_unserved(peer.generation, sign);
        }
    }

    /// The registry answered what it was asked at `asked`, by this node's time at `asked_ms`.
    pub fn heard_registry(self: &Rc<Self>, reading: Reading, asked: Duration, asked_ms: u64) {
        let now = self.now();
        let offset = offset_ms(asked_ms, reading.time_ms, self.now_ms());
        let is_exact = now.saturating_sub(asked) <= CLOCK_ANSWERED_WITHIN;
        let mut clocks = self.clocks.borrow_mut();
        if is_exact || !clocks.has_seen_any() {
            clocks.seen(SeenClock::Registry, offset, now);
        }
        drop(clocks);
        if let Some(hold) = self.membership.borrow_mut().heard(reading, now) {
            tracing::info!(?hold, "members that Redis does not name are kept for now");
        }
        // While it may not know all who live it has not been asked.
        if !self.membership.borrow().is_holding(now) {
            self.registry_asked.set(Some(asked));
        }
        let view = self.membership.borrow().view().clone();
        self.failures.borrow_mut().watch(&view);
        let is_member = |peer| view.member(peer).is_some();
        self.drainers.borrow_mut().keep(is_member);
        for (remote, client) in self.peers.keep(&view, self.generation()) {
            spawn_local(super::watch::watch(self.clone(), remote, client));
        }
        let metrics = &self.shared.metrics.cluster;
        metrics.members.set(view.members().len() as i64);
        let skew_ms = self.clocks.borrow_mut().skew_ms(now);
        metrics.clock_skew.set(skew_ms as f64 / 1_000.0);
    }

    /// A peer says that it takes no more shards.
    pub fn heard_draining(&self, peer: Generation) {
        self.drainers.borrow_mut().said(peer, self.now());
    }

    /// Who is taken for dead, as things are now.
    pub fn judge(&self) {
        let now = self.now();
        let away = self.holdings.stores.journal.is_away();
        let outlook = {
            let membership = self.membership.borrow();
            Outlook {
                view_number: membership.view().number,
                is_frozen: membership.is_frozen(now),
                store_since: self.store_since.get(),
            }
        };
        let suspects = self.failures.borrow_mut().suspects(outlook, now);
        let metrics = &self.shared.metrics.cluster;
        metrics.suspects.set(suspects.len() as i64);
        metrics.store_away.set(i64::from(away));
        metrics.view_frozen.set(i64::from(outlook.is_frozen));
        *self.suspects.borrow_mut() = suspects;
    }

    /// Finds ways around to the peers that this node does not reach.
    pub fn find_detours(&self) {
        let failures = self.failures.borrow();
        let detour = |to| {
            let (by, _) = self.peers.peer(failures.go_between(to)?)?;
            let by = by.as_ref().clone();
            Some(Detour { to, by })
        };
        let detours = failures.unreached().filter_map(detour);
        self.shared.detours.learn(detours.collect());
    }

    /// Whether this node should keep no shard: it drains, or cannot trust its clock.
    pub fn should_leave(&self) -> bool {
        self.is_draining.get() || !self.clocks.borrow_mut().may_claim(self.now())
    }

    /// How many shards are here that could be elsewhere.
    pub fn left_to_hand_over(&self) -> usize {
        let (view, suspects, me) = (self.view(), self.suspects.borrow(), self.generation());
        let mut members = view.members().iter();
        let has_heirs = members.any(|member| {
            let is_other = member.generation != me && member.state == State::Serving;
            is_other && !suspects.contains(&member.generation)
        });
        if !has_heirs {
            return 0;
        }
        let stages = [Stage::Here, Stage::Leaving, Stage::Arriving];
        stages.iter().map(|stage| self.holdings.count(*stage)).sum()
    }

    /// The members, this one as it wants to be seen: others learn of it a little later.
    pub fn view(&self) -> View {
        let (membership, me) = (self.membership.borrow(), self.me.borrow());
        let view = membership.view();
        let drainers = self.drainers.borrow();
        let members = view.members().iter().map(|member| {
            let mut member = if member.generation == me.generation {
                me.clone()
            } else {
                member.clone()
            };
            if drainers.has(member.generation) {
                member.state = State::Draining;
            }
            member
        });
        View::new(view.number, members.collect())
    }

    /// Who is taken for dead, as it was judged last.
    pub fn suspects(&self) -> Vec<Generation> {
        self.suspects.borrow().clone()
    }

    /// The owner that each shard should have, as it was placed last.
    pub fn wanted(&self) -> Option<Table> {
        self.placed
            .borrow()
            .as_ref()
            .map(|placed| placed.want.clone())
    }
}
