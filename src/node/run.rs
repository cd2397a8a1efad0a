//! What a node does without being asked: renews its lease, reads the claims, hears of what came and
//! was lost, and places.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cluster::failure::PROBE_INTERVAL;
use cluster::member::State;
use cluster::peer::server::PeerServer;
use cluster::registry::{RENEWAL, Registry, RegistryError};
use cluster::shard::Epoch;
use tokio::select;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::control::Control;
use super::drainers::SAYING;
use super::holdings::Stage;
use super::known::Seen;
use super::peers::connect;
use super::request::{News, Serves};
use super::routing::Remote;
use super::view::{Ask, ClusterView, Drain, MemberRow, MoveRow, OwnerRow, shown};
use super::wire;
use crate::domain::username::{SHARDS, ShardId};

/// How often it is decided what should be where; what happens in between has it decided at once.
const PLACE_INTERVAL: Duration = Duration::from_millis(100);

/// How often the claims are read when nothing is missing, and at most.
const CLAIMS_INTERVAL: Duration = Duration::from_secs(5);
const CLAIMS_PAUSE: Duration = Duration::from_millis(250);

/// The pause after they had to be read row by row.
const CLAIMS_PAUSE_IN_PARTS: Duration = Duration::from_secs(1);

/// How long leaving may take at the end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// What arrives at the node's thread.
pub struct Arriving {
    /// Questions and orders.
    pub asks: Receiver<Ask>,
    /// Shards that hosts found lost.
    pub losses: UnboundedReceiver<ShardId>,
    /// Shards that are served from now on.
    pub arrivals: UnboundedReceiver<(ShardId, Epoch)>,
    /// By whom peers reach this node.
    pub server: PeerServer,
}

/// Runs the node until it is told to leave.
pub async fn run<R: Registry>(control: Rc<Control>, registry: Arc<R>, arriving: Arriving) {
    let Arriving {
        mut asks,
        losses,
        arrivals,
        server,
    } = arriving;
    spawn_local(keep_lease(control.clone(), registry.clone()));
    spawn_local(read_claims(control.clone()));
    spawn_local(hear_losses(control.clone(), losses));
    spawn_local(tell_arrivals(control.clone(), arrivals));
    spawn_local(tell_draining(control.clone()));
    let mut ticks = interval(PLACE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            _ = ticks.tick() => {
                control.settle_state();
                control.place();
                let metrics = &control.shared.metrics.cluster;
                metrics.note_peers(&control.shared.counters, server.counters());
            }
            ask = asks.recv() => match ask {
                Some(Ask::View(asker)) => drop(asker.send(view(&control))),
                Some(Ask::Drain(asker)) => drain(&control, asker),
                Some(Ask::Leave(asker)) => {
                    let leaving = registry.leave(control.generation());
                    // Without an answer the lease runs out.
                    let _ = tokio::time::timeout(LEAVE_TIMEOUT, leaving).await;
                    let _ = asker.send(());
                    return;
                }
                None => return,
            },
        }
    }
}

fn drain(control: &Control, asker: oneshot::Sender<Drain>) {
    let is_new = !control.is_draining.replace(true);
    if is_new {
        tracing::info!("draining: handing every shard over");
        control.settle_state();
    }
    let left = control.left_to_hand_over();
    if is_new && left == 0 && !control.holdings.is_empty() {
        tracing::warn!(
            "no other node can take the shards over: nobody serves them until one comes"
        );
    }
    let _ = asker.send(Drain { left });
}

/// Renews the lease once a second, and at once when there is news of this node.
async fn keep_lease<R: Registry>(control: Rc<Control>, registry: Arc<R>) {
    let mut was_away = false;
    loop {
        let member = control.me.borrow().clone();
        let (asked_ms, asked) = (control.now_ms(), control.now());
        let renewed = match control.has_joined.get() {
            true => registry.renew(&member).await,
            false => registry.join(&member).await,
        };
        let metrics = &control.shared.metrics.cluster.stores;
        let took = control.now().saturating_sub(asked);
        metrics.redis.observe(took.as_secs_f64());
        match renewed {
            Ok(reading) => {
                if std::mem::take(&mut was_away) {
                    tracing::info!("Redis answers again");
                }
                control.has_joined.set(true);
                control.heard_registry(reading, asked, asked_ms);
            }
            Err(error @ RegistryError::Replaced { .. }) => {
                if !answers_at_its_address(&control).await {
                    tracing::error!(%error, "this node is no member any more; stop it");
                    // What it knows of the others is old, so it claims nothing by that.
                    control.is_draining.set(true);
                    return;
                }
                tracing::warn!(%error, "Redis has forgotten that this node replaced it; joining again");
                control.has_joined.set(false);
            }
            Err(error) => {
                metrics.redis_errors.inc();
                if !std::mem::replace(&mut was_away, true) {
                    tracing::warn!(%error, "the lease was not renewed; shards are served on");
                }
            }
        }
        select! {
            () = sleep(RENEWAL) => {}
            () = control.renew.notified() => {}
        }
    }
}

/// Whether this start of this node is who lives at its address. Then no other took its place: a Redis that
/// was restored from a little earlier names the start before.
async fn answers_at_its_address(control: &Control) -> bool {
    let (address, me) = {
        let me = control.me.borrow();
        (me.address.to_string(), me.generation)
    };
    let itself = connect(&control.shared, &address, Some(me));
    itself.probe(PROBE_INTERVAL).await.is_ok()
}

/// Reads whom the claims name, often while a shard has no owner.
async fn read_claims(control: Rc<Control>) {
    loop {
        let (mut pause, asked) = (CLAIMS_PAUSE, control.now());
        match control.holdings.stores.claims.owners().await {
            Ok(owners) => {
                if !owners.unread.is_empty() {
                    pause = CLAIMS_PAUSE_IN_PARTS;
                }
                control.heard_claims(owners, asked);
            }
            Err(error) => {
                control.store_since.set(None);
                tracing::debug!(%error, "the claims were not read; it is tried again");
            }
        }
        sleep(pause).await;
        select! {
            () = sleep(CLAIMS_INTERVAL) => {}
            () = control.read_claims.notified() => {}
        }
    }
}

async fn hear_losses(control: Rc<Control>, mut losses: UnboundedReceiver<ShardId>) {
    while let Some(shard) = losses.recv().await {
        control.forget_own_claim(shard);
        spawn_local(control.holdings.clone().lose(shard));
    }
}

/// Tells all peers of what is served here now, so that they need not ask.
async fn tell_arrivals(control: Rc<Control>, mut arrivals: UnboundedReceiver<(ShardId, Epoch)>) {
    let me = Arc::new(Remote {
        generation: control.generation(),
        address: control.shared.address.to_string(),
    });
    while let Some((shard, epoch)) = arrivals.recv().await {
        control.hear_of(shard, epoch, &me);
        let news = wire::encode(&News::Serves(Serves::new(shard, epoch)));
        control.peers.notify(&news);
    }
}

/// Says again and again that this node drains: while Redis is away nobody else tells, and shards would be
/// offered to it.
async fn tell_draining(control: Rc<Control>) {
    loop {
        sleep(SAYING).await;
        if control.should_leave() {
            control.peers.notify(&wire::encode(&News::Drains));
        }
    }
}

/// The cluster as this node sees it.
fn view(control: &Control) -> ClusterView {
    let (members, suspects) = (control.view(), control.suspects());
    let known = control.known.borrow();
    let owners = known.owners(Seen {
        view: &members,
        suspects: &suspects,
        // Only those who are listed as members are shown as owners.
        asked: Some(control.now()),
    });
    let row = |member: &cluster::member::Member| MemberRow {
        generation: shown(member.generation),
        node: member.node.to_string(),
        address: member.address.to_string(),
        state: member.state.word(),
        version: member.version.to_string(),
        shards: owners.shards_of(member.generation).count(),
    };
    let owner = |(shard, owner): (cluster::shard::Shard, Option<_>)| OwnerRow {
        shard: shard.0,
        generation: owner.map(shown),
        epoch: known.epoch(ShardId(shard.0)).0,
    };
    let living = members.members().iter();
    let living = living.filter(|member| !suspects.contains(&member.generation));
    ClusterView {
        generation: shown(control.generation()),
        cluster: control.cluster.clone(),
        shards: SHARDS,
        members: living.map(row).collect(),
        owners: owners.iter().map(owner).collect(),
        moves: moves(control, &owners),
    }
}

fn moves(control: &Control, owners: &cluster::placement::Table) -> Vec<MoveRow> {
    let (me, want) = (control.generation(), control.wanted());
    let row = |shard: ShardId| {
        let place = cluster::shard::Shard(shard.0);
        let (owner, wanted) = (owners.owner(place), want.as_ref()?.owner(place));
        let state = match control.holdings.stage(shard) {
            Stage::Arriving | Stage::Leaving => "moving",
            Stage::Here if wanted.is_some_and(|wanted| wanted != me) => "waiting",
            Stage::Away if owner.is_none() && wanted == Some(me) => "waiting",
            Stage::Here | Stage::Away | Stage::Lost => return None,
        };
        Some(MoveRow {
            shard: shard.0,
            from: owner.map(shown),
            to: wanted.map(shown),
            state,
        })
    };
    ShardId::all().filter_map(row).collect()
}

impl Control {
    /// Says once that the clock cannot be trusted, and sets it right as soon as there is nothing here that
    /// remembers a time.
    fn settle_clock(&self) {
        let is_right = self.clocks.borrow_mut().may_claim(self.now());
        if self.is_clock_right.replace(is_right) && !is_right {
            let skew_ms = self.clocks.borrow_mut().skew_ms(self.now());
            tracing::error!(
                skew_ms,
                "this node's clock is not that of the others: it claims nothing and hands its shards over; \
                 set the clock"
            );
        }
        if !is_right && self.holdings.is_empty() {
            self.clock.follow_wall();
        }
    }

    /// Sees to it that the registry says what this node is: joining until its hosts run, draining when
    /// it should keep nothing.
    pub fn settle_state(&self) {
        self.settle_clock();
        let state = if self.should_leave() {
            State::Draining
        } else if self.shared.hosts.are_started() {
            State::Serving
        } else {
            State::Joining
        };
        let mut me = self.me.borrow_mut();
        if me.state != state {
            me.state = state;
            self.renew.notify_one();
            if state == State::Draining {
                self.forgive_all();
                // The registry tells them within a second; until then they would hand shards to this node.
                self.peers.notify(&wire::encode(&News::Drains));
            }
        }
    }
}
