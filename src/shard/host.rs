//! The actor that runs the shards of one HTTP worker: it translates commands into calls of shards,
//! arms one timer for all of them, and lets answers go when their batch is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use super::call::{Accepted, Count, Delivery, Found, Post, Refusal, Take};
use super::clock::Clock;
use super::commit::{Committed, STAGE_BYTES_MAX, Staging};
use super::flush::{Archived, Archiver, FlushBatch};
use super::pending::{Pending, Reply};
use super::turn::{Tally, Turn};
use super::usage::Usage;
use super::value::Shard;
use crate::domain::id::MessageId;
use crate::domain::limits::Limits;
use crate::domain::time::UnixMs;
use crate::domain::username::{SHARDS, ShardId, Username, UsernameHash};
use crate::metrics::Metrics;
use crate::store::journal::Journal;

/// Commands that may wait for one host; more are refused with 503.
const COMMANDS_MAX: usize = 8_192;

/// Messages that one timer turn expires before it lets commands through.
const EXPIRED_PER_TURN_MAX: u64 = 256;

/// How often one part of the shards is looked after; all are once a second.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(125);
const UPKEEP_PARTS: usize = 8;

/// What is asked of a shard, with the way back for the answer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Command {
    /// Accept a message.
    Post(Post, oneshot::Sender<Result<Accepted, Refusal>>),
    /// Deliver a mailbox's oldest messages.
    Take(Take, oneshot::Sender<Result<Delivery, Refusal>>),
    /// Count a mailbox.
    Count(Username, UsernameHash, oneshot::Sender<Count>),
    /// Look a message up.
    Find(MessageId, oneshot::Sender<Found>),
}

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
    /// Whether answers wait for the commit; without, they leave at once and a crash may lose them.
    pub is_gated: bool,
    /// When an answer that still waits is given up.
    pub request_timeout: Duration,
}

/// The actor.
#[derive(Debug)]
pub struct ShardHost<J: Journal> {
    seat: Seat<J>,
    shards: Vec<Shard>,
    /// Where in `shards` each shard is.
    places: [u16; SHARDS],
    pending: Pending,
    random: StdRng,
    timer: Option<(SpawnHandle, UnixMs)>,
    /// Endings that wait for the commit of a batch before they may be archived.
    flushes: VecDeque<(u64, FlushBatch)>,
    /// Shards whose endings are on their way to the archive.
    is_flushing: Vec<bool>,
    upkeep_part: usize,
}

impl<J: Journal> ShardHost<J> {
    /// A host of `shards` on `seat`.
    pub fn new(seat: Seat<J>, shards: Vec<Shard>) -> ShardHost<J> {
        let mut places = [u16::MAX; SHARDS];
        for (place, shard) in shards.iter().enumerate() {
            places[shard.id.index()] = place as u16;
        }
        ShardHost {
            is_flushing: vec![false; shards.len()],
            seat,
            shards,
            places,
            pending: Pending::default(),
            random: StdRng::from_rng(&mut rand::rng()),
            timer: None,
            flushes: VecDeque::new(),
            upkeep_part: 0,
        }
    }

    /// Starts the host on this thread; it takes [`COMMANDS_MAX`] commands from its first moment on.
    pub fn start_here(seat: Seat<J>, shards: Vec<Shard>) -> Addr<ShardHost<J>> {
        ShardHost::create(|ctx| {
            ctx.set_mailbox_capacity(COMMANDS_MAX);
            ShardHost::new(seat, shards)
        })
    }

    /// Runs one call of one shard and stages what it decided; tells the batch that its answer waits
    /// for.
    fn with_shard<R>(
        &mut self,
        shard: ShardId,
        call: impl FnOnce(&mut Shard, &mut Turn<'_>) -> R,
    ) -> (u64, R) {
        let place = usize::from(self.places[shard.index()]);
        let (now, random) = (self.seat.clock.now(), self.random.next_u64());
        let mut tally = Tally::default();
        let mut stage = self.seat.staging.lock();
        let (batch, before) = (stage.batch, stage.group.len());
        let shard = &mut self.shards[place];
        let answer = call(
            shard,
            &mut Turn {
                now,
                random,
                limits: &self.seat.limits,
                usage: &self.seat.usage,
                group: &mut stage.group,
                batch,
                position: self.seat.journal.position(),
                tally: &mut tally,
            },
        );
        let has_staged = stage.group.len() > before;
        drop(stage);
        let last_batch = shard.last_batch;
        if has_staged {
            self.seat.staging.ring();
        }
        // What expired in the millisecond of an earlier event is told by that event.
        if tally != Tally::default() {
            if last_batch > self.pending.committed() {
                self.pending.count(last_batch, tally);
            } else {
                self.publish(tally);
            }
        }
        let waits_for = if self.seat.is_gated { last_batch } else { 0 };
        (waits_for, answer)
    }

    /// Counts what is durable.
    fn publish(&self, tally: Tally) {
        let metrics = &self.seat.metrics;
        metrics.posted.inc_by(tally.posted);
        metrics.delivered.inc_by(tally.delivered);
        metrics.expired.inc_by(tally.expired);
        metrics.unread.add(tally.unread);
    }

    fn post(&mut self, post: Post) -> (u64, Result<Accepted, Refusal>) {
        let is_full = !self.seat.journal.has_room() || self.seat.archiver.is_failing();
        let is_full = is_full.then_some(Refusal::DiskFull);
        let shard = post.hash.route().shard();
        self.with_shard(shard, |shard, turn| match is_full.or(overload(turn)) {
            Some(refusal) if !shard.knows(post.key, turn) => Err(refusal),
            _ => shard.post(post, turn),
        })
    }

    fn take(&mut self, take: Take) -> (u64, Result<Delivery, Refusal>) {
        let shard = take.hash.route().shard();
        self.with_shard(shard, |shard, turn| match overload(turn) {
            Some(refusal) if !shard.knows(take.key, turn) => Err(refusal),
            _ => shard.take(take, turn),
        })
    }

    /// Makes sure that the timer rings at `due` or before.
    fn arm(&mut self, due: Option<UnixMs>, ctx: &mut Context<Self>) {
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
            let shard = &self.shards[place];
            if left > 0 && shard.next_due().is_some_and(|due| due <= now) {
                let (_, expired) =
                    self.with_shard(shard.id, |shard, turn| shard.expire_due(turn, left));
                left = left.saturating_sub(expired);
            }
        }
        let due = self.shards.iter().filter_map(Shard::next_due).min();
        self.arm(due, ctx);
    }

    /// Looks after one part of the shards: forgets old keys, lets the journal go, and starts moving
    /// endings to the archive.
    fn look_after(&mut self, ctx: &mut Context<Self>) {
        self.pending.give_up(self.seat.request_timeout);
        let part = self.upkeep_part;
        self.upkeep_part = (part + 1) % UPKEEP_PARTS;
        let (now, position) = (self.seat.clock.now(), self.seat.journal.position());
        let (mut flush, mut last_batch, mut bases) = (Vec::new(), 0, Vec::new());
        for place in (part..self.shards.len()).step_by(UPKEEP_PARTS) {
            let shard = &mut self.shards[place];
            shard.forget_keys(now, &self.seat.usage);
            bases.push((shard.id, shard.base().unwrap_or(position)));
            if !self.is_flushing[place]
                && let Some(endings) = shard.flush()
            {
                self.is_flushing[place] = true;
                last_batch = last_batch.max(shard.last_batch);
                flush.push((shard.id, endings));
            }
        }
        if !flush.is_empty() {
            let reply = ctx.address().recipient();
            self.flushes.push_back((
                last_batch,
                FlushBatch {
                    parts: flush,
                    reply,
                },
            ));
        }
        self.offer_flushes();
        let journal = self.seat.journal.clone();
        let trim = async move {
            for (shard, base) in bases {
                if let Err(error) = journal.trim(shard, base).await {
                    tracing::warn!(%error, "cannot let go of old journal segments; it is tried again in a second");
                }
            }
        };
        ctx.spawn(trim.into_actor(self));
    }

    /// Hands over the endings whose events are durable.
    fn offer_flushes(&mut self) {
        let committed = self.pending.committed();
        while let Some((batch, flush)) = self.flushes.pop_front_if(|(batch, _)| *batch <= committed)
        {
            if let Err(flush) = self.seat.archiver.offer(flush) {
                self.flushes.push_front((batch, flush));
                return;
            }
        }
    }
}

/// Why nothing more should be decided: so much waits to be committed. A repeat of what was done
/// before is answered all the same, for a refusal says that nothing was done.
fn overload(turn: &Turn<'_>) -> Option<Refusal> {
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
        let (batch, reply) = match command {
            Command::Post(post, asker) => {
                let shard = post.hash.route().shard();
                let (batch, answer) = self.post(post);
                self.arm(
                    self.shards[usize::from(self.places[shard.index()])].next_due(),
                    ctx,
                );
                (batch, Reply::Post(asker, answer))
            }
            Command::Take(take, asker) => {
                let (batch, answer) = self.take(take);
                (batch, Reply::Take(asker, answer))
            }
            Command::Count(username, hash, asker) => {
                let count =
                    |shard: &mut Shard, turn: &mut Turn<'_>| shard.count(&username, hash, turn);
                let (batch, answer) = self.with_shard(hash.route().shard(), count);
                (batch, Reply::Count(asker, answer))
            }
            Command::Find(id, asker) => {
                let (batch, answer) =
                    self.with_shard(id.route().shard(), |shard, turn| shard.find(id, turn));
                (batch, Reply::Find(asker, answer))
            }
        };
        self.pending.hold(batch, reply);
    }
}

impl<J: Journal> Handler<Committed> for ShardHost<J> {
    type Result = ();

    fn handle(&mut self, Committed(batch): Committed, _: &mut Context<Self>) {
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
        for (id, through) in parts {
            self.is_flushing[usize::from(self.places[id.index()])] = false;
            self.with_shard(id, |shard, turn| shard.archived(through, turn));
        }
    }
}
