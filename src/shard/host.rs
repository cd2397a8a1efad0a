//! The shards of one HTTP worker: translates commands into calls of shards, and holds each answer until
//! its batch is committed.
//!
//! A command runs on the thread that it comes from, alone: whoever enters has the host to itself. What is
//! not asked by anyone, the host's [`Keeper`](super::keeper::Keeper) does.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Recipient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use super::call::{Accepted, Asker, Count, Delivery, Found, Post, Refusal, Take};
use super::clock::Clock;
use super::command::Command;
use super::commit::{STAGE_BYTES_MAX, Staging};
use super::flush::{Archiver, FlushBatch};
use super::held::Held;
use super::hosted::{Hosted, NOWHERE};
use super::keeper::Rearm;
use super::moves::{Elsewhere, Losses};
use super::pending::Pending;
use super::question::{Answering, CountOf, Question};
use super::turn::{Tally, Turn};
use super::usage::Usage;
use super::value::Shard;
use crate::domain::id::MessageId;
use crate::domain::limits::Limits;
use crate::domain::time::UnixMs;
use crate::domain::username::{SHARDS, Username, UsernameHash};
use crate::metrics::Metrics;
use crate::store::journal::Journal;

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

/// A host that any thread may enter.
#[derive(Debug)]
pub struct SharedHost<J: Journal>(Mutex<ShardHost<J>>);

impl<J: Journal> SharedHost<J> {
    /// A host of `shards` on `seat`.
    pub fn new(seat: Seat<J>, shards: Vec<Shard>) -> SharedHost<J> {
        SharedHost(Mutex::new(ShardHost::new(seat, shards)))
    }

    /// The host, for a turn of one thread: nothing that takes long is done meanwhile.
    pub(super) fn enter(&self) -> MutexGuard<'_, ShardHost<J>> {
        // A panic in a turn ends the process before anyone could see what it left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who decides what is asked of some shards. An answer leaves when what it depends on is durable.
pub trait Decide: Send + Sync {
    /// Accepts a message.
    fn post(&self, post: Post) -> Answering<Accepted>;
    /// Delivers the oldest messages of a mailbox.
    fn take(&self, take: Take) -> Answering<Delivery>;
    /// Counts what waits in a mailbox.
    fn count(&self, username: Username, hash: UsernameHash) -> Answering<Count>;
    /// Looks a message up among those in memory.
    fn find(&self, id: MessageId) -> Answering<Found>;
}

impl fmt::Debug for dyn Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decide")
    }
}

impl<J: Journal> Decide for SharedHost<J> {
    fn post(&self, post: Post) -> Answering<Accepted> {
        self.enter().ask(post)
    }

    fn take(&self, take: Take) -> Answering<Delivery> {
        self.enter().ask(take)
    }

    fn count(&self, username: Username, hash: UsernameHash) -> Answering<Count> {
        self.enter().ask(CountOf(username, hash))
    }

    fn find(&self, id: MessageId) -> Answering<Found> {
        self.enter().ask(id)
    }
}

/// The shards with all that their decisions need.
#[derive(Debug)]
pub(super) struct ShardHost<J: Journal> {
    pub(super) seat: Seat<J>,
    pub(super) shards: Vec<Hosted>,
    /// Where in `shards` each shard is; [`NOWHERE`] for those of others.
    pub(super) places: [u16; SHARDS],
    pub(super) pending: Pending,
    /// What waits for shards that are being handed over.
    pub(super) held: Held,
    random: StdRng,
    /// When the keeper's timer rings next.
    armed: Option<UnixMs>,
    /// Who arms it.
    pub(super) keeper: Option<Recipient<Rearm>>,
    /// Endings that wait for the commit of a batch before they may be archived.
    pub(super) flushes: VecDeque<(u64, FlushBatch)>,
    /// Shards that are another's now, for the keeper to retire outside: that takes long.
    pub(super) gone: Vec<Shard>,
}

/// How far a question has come.
enum Begun<Q: Question> {
    Refused(Refusal),
    /// Its shard is being handed over.
    Moving(Q),
    /// The answer, which waits for this batch.
    Decided(u64, Result<Q::Answer, Refusal>),
}

impl<J: Journal> ShardHost<J> {
    fn new(seat: Seat<J>, shards: Vec<Shard>) -> ShardHost<J> {
        let mut host = ShardHost {
            seat,
            shards: Vec::with_capacity(shards.len()),
            places: [NOWHERE; SHARDS],
            pending: Pending::default(),
            held: Held::default(),
            random: StdRng::from_rng(&mut rand::rng()),
            armed: None,
            keeper: None,
            flushes: VecDeque::new(),
            gone: Vec::new(),
        };
        for shard in shards {
            host.adopt(shard, 0);
        }
        host
    }

    fn ask<Q: Question>(&mut self, question: Q) -> Answering<Q::Answer> {
        let shard = question.shard();
        match self.begin(question) {
            Begun::Refused(refusal) => Answering::Now(Err(refusal)),
            Begun::Decided(batch, answer) if batch <= self.pending.committed() => {
                Answering::Now(answer)
            }
            Begun::Decided(batch, answer) => {
                let (asker, later) = oneshot::channel();
                self.pending.hold(batch, shard, Q::reply(asker, answer));
                Answering::Later(later)
            }
            Begun::Moving(question) => {
                let (asker, later) = oneshot::channel();
                self.held.hold(question.command(asker));
                Answering::Later(later)
            }
        }
    }

    /// Decides what had to wait for its shard.
    pub(super) fn decide(&mut self, command: Command) {
        // Nothing was done for it, and nobody would learn of what is done now.
        if command.is_abandoned() {
            return;
        }
        match command {
            Command::Post(post, asker) => self.answer(post, asker),
            Command::Take(take, asker) => self.answer(take, asker),
            Command::Count(username, hash, asker) => self.answer(CountOf(username, hash), asker),
            Command::Find(id, asker) => self.answer(id, asker),
        }
    }

    fn answer<Q: Question>(&mut self, question: Q, asker: Asker<Q::Answer>) {
        let shard = question.shard();
        match self.begin(question) {
            Begun::Refused(refusal) => Q::reply(asker, Err(refusal)).send(),
            Begun::Decided(batch, answer) => {
                self.pending.hold(batch, shard, Q::reply(asker, answer));
            }
            Begun::Moving(question) => self.held.hold(question.command(asker)),
        }
    }

    fn begin<Q: Question>(&mut self, question: Q) -> Begun<Q> {
        match self.place_to_decide(question.shard()) {
            // Nothing could be answered before the journal is back, so nothing is begun.
            Ok(_) if self.seat.journal.is_away() => Begun::Refused(Refusal::StoreAway),
            Ok(place) => {
                let (batch, answer) = question.decide(self, place);
                Begun::Decided(batch, answer)
            }
            Err(Elsewhere::Moving) => Begun::Moving(question),
            Err(Elsewhere::Gone) => Begun::Refused(Refusal::NotHere),
        }
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
        let staged_bytes = stage.group.bytes().len();
        if is_asked {
            stage.group.ask(shard.id);
        }
        drop(stage);
        let (id, last_batch) = (shard.id, shard.last_batch);
        if has_staged || is_asked {
            self.seat.staging.ring(staged_bytes);
        }
        // What expired in the millisecond of an earlier event is told by that event.
        if tally != Tally::default() {
            let is_told_later = self.seat.gate != Gate::Open;
            if is_told_later && last_batch > self.pending.committed() {
                let of = (self.seat.gate == Gate::Fence).then_some(id);
                self.pending.count(last_batch, of, tally);
            } else {
                self.publish(tally);
            }
        }
        (batch, answer)
    }

    /// Counts what may be told.
    pub(super) fn publish(&self, tally: Tally) {
        let metrics = &self.seat.metrics;
        for (counter, messages) in [
            (&metrics.posted, tally.posted),
            (&metrics.delivered, tally.delivered),
            (&metrics.expired, tally.expired),
        ] {
            if messages > 0 {
                counter.inc_by(messages);
            }
        }
        metrics.unread.add(tally.unread);
    }

    pub(super) fn post(&mut self, place: usize, post: Post) -> (u64, Result<Accepted, Refusal>) {
        let full = self.is_full().then_some(match self.seat.gate {
            Gate::Fence => Refusal::StoreAway,
            Gate::Open | Gate::Commit => Refusal::DiskFull,
        });
        let answered = self.answer_with(place, |shard, turn| match full.or(overload(turn)) {
            Some(refusal) if !shard.knows(post.key, turn) => Err(refusal),
            _ => shard.post(post, turn),
        });
        self.arm(self.shards[place].next_due());
        answered
    }

    /// Whether there is no room for more: in the journal, or in memory for what will end and cannot be
    /// archived. A cluster's archive may fail for some shards alone, so half of the memory is for that.
    fn is_full(&self) -> bool {
        let seat = &self.seat;
        let may_grow = seat.gate == Gate::Fence && seat.usage.is_below_half();
        !seat.journal.has_room() || seat.archiver.is_failing() && !may_grow
    }

    pub(super) fn take(&mut self, place: usize, take: Take) -> (u64, Result<Delivery, Refusal>) {
        self.answer_with(place, |shard, turn| match overload(turn) {
            Some(refusal) if !shard.knows(take.key, turn) => Err(refusal),
            _ => shard.take(take, turn),
        })
    }

    /// Makes sure that the keeper's timer rings at `due` or before.
    pub(super) fn arm(&mut self, due: Option<UnixMs>) {
        let Some(due) = due else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            if let Some(keeper) = &self.keeper {
                keeper.do_send(Rearm);
            }
        }
    }

    /// How long the keeper's timer has to wait from now on.
    pub(super) fn wait_armed(&self) -> Option<Duration> {
        let armed = self.armed?;
        let wait_ms = armed.ms_since(self.seat.clock.now());
        Some(Duration::from_millis(wait_ms))
    }

    /// Sets when the timer should ring next, after it rang.
    pub(super) fn arm_again(&mut self) {
        self.armed = self.shards.iter().filter_map(Hosted::next_due).min();
    }

    /// Expires what is due in the shard at `place`, about `messages_max` messages at most; tells how many
    /// there were.
    pub(super) fn expire_due(&mut self, place: usize, messages_max: u64) -> u64 {
        let now = self.seat.clock.now();
        if self.shards[place].next_due().is_none_or(|due| due > now) {
            return 0;
        }
        let expire = |shard: &mut Shard, turn: &mut Turn<'_>| shard.expire_due(turn, messages_max);
        self.run(place, false, expire).1
    }

    /// Decides nothing any more; what waits is told so, or that its outcome is unknown.
    pub(super) fn close(&mut self) {
        self.places = [NOWHERE; SHARDS];
        self.pending = Pending::default();
        self.held.give_up(Duration::ZERO);
        self.keeper = None;
    }
}

/// Why nothing more should be decided: so much waits to be committed. A repeat of what was done
/// before is answered all the same, for a refusal says that nothing was done.
pub(super) fn overload(turn: &Turn<'_>) -> Option<Refusal> {
    (turn.group.bytes().len() > STAGE_BYTES_MAX).then_some(Refusal::Overloaded)
}
