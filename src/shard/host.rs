//! The actor that runs the shards of one HTTP worker: it translates commands into calls of shards,
//! arms one timer for all of them, and lets answers go when their batch is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::call::{Accepted, Delivery, Post, Refusal, Take};
use super::clock::Clock;
use super::command::Command;
use super::commit::{Committed, STAGE_BYTES_MAX, Staging};
use super::flush::{Archived, Archiver, FlushBatch};
use super::held::Held;
use super::host_upkeep::UPKEEP_INTERVAL;
use super::hosted::{Hosted, NOWHERE};
use super::moves::{Elsewhere, Losses};
use super::pending::{Pending, Reply};
use super::turn::{Tally, Turn};
use super::usage::Usage;
use super::value::Shard;
use crate::domain::limits::Limits;
use crate::domain::time::UnixMs;
use crate::domain::username::SHARDS;
use crate::metrics::Metrics;
use crate::store::journal::Journal;

/// Commands that may wait for one host; more are refused with 503.
const COMMANDS_MAX: usize = 8_192;

/// Messages that one timer turn expires before it lets commands through.
const EXPIRED_PER_TURN_MAX: u64 = 256;

/// What a host works with.
#[derive(Debug)]
pub struct Seat<J> {
    /// The process's time.
    pub clock: Clock,
    /// The bounds of messages and mailboxes.
    pub limits: Arc<Limits>,
    /// Memory and keys in use.
    pub usage: Arc<Usage>,
    /// Where this worker's events are staged.
    pub staging: Arc<Staging>,
    /// The journal they go to.
    pub journal: Arc<J>,
    /// The way to the archive.
    pub archiver: Archiver,
    /// Where commits are counted.
    pub metrics: Arc<Metrics>,
    /// What an answer waits for.
    pub gate: Gate,
    /// When an answer that still waits is given up.
    pub request_timeout: Duration,
    /// Who wants to know of shards that were lost to other processes.
    pub losses: Option<Losses>,
}

/// What an answer waits for before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing: a crash may lose what was acknowledged last.
    Open,
    /// The commit of the shard's last event.
    Commit,
    /// That, and then a look whether the shard is still this process's.
    Fence,
}

/// The actor.
#[derive(Debug)]
pub struct ShardHost<J: Journal> {
    pub(super) seat: Seat<J>,
    pub(super) shards: Vec<Hosted>,
    /// Where in `shards` each shard is; [`NOWHERE`] for those of others.
    pub(super) places: [u16; SHARDS],
    pub(super) pending: Pending,
    /// What waits for shards that are being handed over.
    pub(super) held: Held,
    random: StdRng,
    timer: Option<(SpawnHandle, UnixMs)>,
    /// Endings that wait for the commit of a batch before they may be archived.
    pub(super) flushes: VecDeque<(u64, FlushBatch)>,
    pub(super) upkeep_part: usize,
}

impl<J: Journal> ShardHost<J> {
    /// A host of `shards` on `seat`.
    pub fn new(seat: Seat<J>, shards: Vec<Shard>) -> ShardHost<J> {
        let mut host = ShardHost {
            seat,
            shards: Vec::with_capacity(shards.len()),
            places: [NOWHERE; SHARDS],
            pending: Pending::default(),
            held: Held::default(),
            random: StdRng::from_rng(&mut rand::rng()),
            timer: None,
            flushes: VecDeque::new(),
            upkeep_part: 0,
        };
        for shard in shards {
            host.adopt(shard, 0);
        }
        host
    }

    /// Starts the host on this thread; it takes [`COMMANDS_MAX`] commands from its first moment on.
    pub fn start_here(seat: Seat<J>, shards: Vec<Shard>) -> Addr<ShardHost<J>> {
        ShardHost::create(|ctx| {
            ctx.set_mailbox_capacity(COMMANDS_MAX);
            ShardHost::new(seat, shards)
        })
    }

    /// Runs one call of the shard at `place`, stages what it decided, and tells the batch that its
    /// answer waits for.
    pub(super) fn answer_with<R>(
        &mut self,
        place: usize,
        call: impl FnOnce(&mut Shard, &mut Turn<'_>) -> R,
    ) -> (u64, R) {
        let (batch, answer) = self.run(place, self.seat.gate == Gate::Fence, call);
        let waits_for = match self.seat.gate {
            Gate::Open => 0,
            Gate::Commit => self.shards[place].shard.last_batch,
            Gate::Fence => batch,
        };
        (waits_for, answer)
    }

    /// Runs one call of the shard at `place`, stages what it decided, and tells in which batch.
    pub(super) fn run<R>(
        &mut self,
        place: usize,
        is_asked: bool,
        call: impl FnOnce(&mut Shard, &mut Turn<'_>) -> R,
    ) -> (u64, R) {
        let (now, random) = (self.seat.clock.now(), self.random.next_u64());
        let mut tally = Tally::default();
        let mut stage = self.seat.staging.lock();
        let (batch, before) = (stage.batch, stage.group.len());
        let shard = &mut self.shards[place].shard;
        let answer = call(
            shard,
            &mut Turn {
                now,
                random,
                limits: &self.seat.limits,
                usage: &self.seat.usage,
                group: &mut stage.group,
                batch,
                position: self.seat.journal.position(shard.id),
                tally: &mut tally,
            },
        );
        let has_staged = stage.group.len() > before;
        if is_asked {
            stage.group.ask(shard.id);
        }
        drop(stage);
        let (id, last_batch) = (shard.id, shard.last_batch);
        if has_staged || is_asked {
            self.seat.staging.ring();
        }
        // What expired in the millisecond of an earlier event is told by that event.
        if tally != Tally::default() {
            if last_batch > self.pending.committed() {
                let of = (self.seat.gate == Gate::Fence).then_some(id);
                self.pending.count(last_batch, of, tally);
            } else {
                self.publish(tally);
            }
        }
        (batch, answer)
    }

    /// Counts what is durable.
    fn publish(&self, tally: Tally) {
        let metrics = &self.seat.metrics;
        metrics.posted.inc_by(tally.posted);
        metrics.delivered.inc_by(tally.delivered);
        metrics.expired.inc_by(tally.expired);
        metrics.unread.add(tally.unread);
    }

    fn post(&mut self, place: usize, post: Post) -> (u64, Result<Accepted, Refusal>) {
        let full = self.is_full().then_some(match self.seat.gate {
            Gate::Fence => Refusal::StoreAway,
            Gate::Open | Gate::Commit => Refusal::DiskFull,
        });
        self.answer_with(place, |shard, turn| match full.or(overload(turn)) {
            Some(refusal) if !shard.knows(post.key, turn) => Err(refusal),
            _ => shard.post(post, turn),
        })
    }

    /// Whether there is no room for more: in the journal, or in memory for what will end and cannot be
    /// archived. A cluster's archive may fail for some shards alone, so half of the memory is for that.
    fn is_full(&self) -> bool {
        let seat = &self.seat;
        let may_grow = seat.gate == Gate::Fence && seat.usage.is_below_half();
        !seat.journal.has_room() || seat.archiver.is_failing() && !may_grow
    }

    fn take(&mut self, place: usize, take: Take) -> (u64, Result<Delivery, Refusal>) {
        self.answer_with(place, |shard, turn| match overload(turn) {
            Some(refusal) if !shard.knows(take.key, turn) => Err(refusal),
            _ => shard.take(take, turn),
        })
    }

    /// Makes sure that the timer rings at `due` or before.
    pub(super) fn arm(&mut self, due: Option<UnixMs>, ctx: &mut Context<Self>) {
        let Some(due) = due else { return };
        if let Some((timer, armed)) = self.timer {
            if armed <= due {
                return;
            }
            ctx.cancel_future(timer);
        }
        let wait = Duration::from_millis(due.ms_since(self.seat.clock.now()));
        self.timer = Some((ctx.run_later(wait, Self::expire_due), due));
    }

    /// One turn of the timer: expires what is due, then arms the timer again.
    fn expire_due(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        let now = self.seat.clock.now();
        let mut left = EXPIRED_PER_TURN_MAX;
        for place in 0..self.shards.len() {
            let hosted = &self.shards[place];
            if left > 0 && hosted.next_due().is_some_and(|due| due <= now) {
                let (_, expired) =
                    self.run(place, false, |shard, turn| shard.expire_due(turn, left));
                left = left.saturating_sub(expired);
            }
        }
        let due = self.shards.iter().filter_map(Hosted::next_due).min();
        self.arm(due, ctx);
    }
}

/// Why nothing more should be decided: so much waits to be committed. A repeat of what was done
/// before is answered all the same, for a refusal says that nothing was done.
pub(super) fn overload(turn: &Turn<'_>) -> Option<Refusal> {
    (turn.group.bytes().len() > STAGE_BYTES_MAX).then_some(Refusal::Overloaded)
}

impl<J: Journal> Actor for ShardHost<J> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.seat.staging.listen(ctx.address().recipient());
        ctx.run_interval(UPKEEP_INTERVAL, Self::look_after);
        self.expire_due(ctx);
    }
}

impl<J: Journal> Handler<Command> for ShardHost<J> {
    type Result = ();

    fn handle(&mut self, command: Command, ctx: &mut Context<Self>) {
        // Nothing was done for it, and nobody would learn of what is done now.
        if command.is_abandoned() {
            return;
        }
        let id = command.shard();
        let place = match self.place_to_decide(id) {
            // Nothing could be answered before the journal is back, so nothing is begun.
            Ok(_) if self.seat.journal.is_away() => return command.refuse(Refusal::StoreAway),
            Ok(place) => place,
            Err(Elsewhere::Moving) => return self.held.hold(command),
            Err(Elsewhere::Gone) => return command.refuse(Refusal::NotHere),
        };
        let (batch, reply) = match command {
            Command::Post(post, asker) => {
                let (batch, answer) = self.post(place, post);
                self.arm(self.shards[place].next_due(), ctx);
                (batch, Reply::Post(asker, answer))
            }
            Command::Take(take, asker) => {
                let (batch, answer) = self.take(place, take);
                (batch, Reply::Take(asker, answer))
            }
            Command::Count(username, hash, asker) => {
                let count =
                    |shard: &mut Shard, turn: &mut Turn<'_>| shard.count(&username, hash, turn);
                let (batch, answer) = self.answer_with(place, count);
                (batch, Reply::Count(asker, answer))
            }
            Command::Find(id, asker) => {
                let (batch, answer) = self.answer_with(place, |shard, turn| shard.find(id, turn));
                (batch, Reply::Find(asker, answer))
            }
        };
        self.pending.hold(batch, id, reply);
    }
}

impl<J: Journal> Handler<Committed> for ShardHost<J> {
    type Result = ();

    fn handle(&mut self, committed: Committed, _: &mut Context<Self>) {
        let Committed { batch, lost } = committed;
        for shard in lost.iter() {
            self.lose(*shard);
        }
        // Counted before anyone is told, so that who was told finds it counted.
        let tally = self.pending.counted_through(batch);
        self.publish(tally);
        self.pending.release(batch);
        self.offer_flushes();
    }
}

impl<J: Journal> Handler<Archived> for ShardHost<J> {
    type Result = ();

    fn handle(&mut self, Archived(parts): Archived, _: &mut Context<Self>) {
        for (id, stay) in parts {
            let Some(place) = self.place_of(id).filter(|p| self.shards[*p].stay == stay) else {
                continue;
            };
            self.shards[place].is_flushing = false;
            if !self.shards[place].is_frozen {
                self.run(place, false, Shard::archived);
            }
        }
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
