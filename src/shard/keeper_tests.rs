//! A host whose shards are frozen and lost, with a journal that says so and an archive that says when.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::call::{CallError, Delivery, Found, Post, Refusal, Take};
use super::super::clock::Clock;
use super::super::commit::{Committer, Pause};
use super::super::flush::{Archiver, FlushBatch};
use super::super::host::{Decide, Gate, Seat};
use super::super::spread::Spread;
use super::super::usage::Usage;
use super::super::value::Shard;
use super::*;
use crate::domain::event::{Event, Posted};
use crate::domain::id::{IdStamp, MessageId};
use crate::domain::message::{Attributes, Content};
use crate::domain::time::UnixMs;
use crate::domain::username::{ShardId, Username};
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::group::{Group, HighWater};
use crate::store::journal::{Appended, Position, Visit};

/// A journal that waits with each group until it is told which shards were lost meanwhile.
#[derive(Debug)]
struct ToldJournal {
    told: Mutex<Receiver<Vec<ShardId>>>,
    done: Mutex<Vec<Done>>,
}

/// What became of the journal, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Done {
    Appended,
    Trimmed(ShardId, Position),
}

impl ToldJournal {
    fn note(&self, done: Done) {
        let mut all = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(done);
    }
}

impl Journal for ToldJournal {
    async fn append(&self, _: &Group) -> Result<Appended, StoreError> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = told.recv().unwrap_or_default();
        self.note(Done::Appended);
        Ok(Appended { lost })
    }

    fn position(&self, _: ShardId) -> Position {
        Position(1)
    }

    fn has_room(&self) -> bool {
        true
    }

    async fn replay(&self, _: &[ShardId], _: &mut Visit<'_>) -> Result<HighWater, StoreError> {
        Ok(HighWater::default())
    }

    async fn trim(&self, shard: ShardId, base: Position) -> Result<(), StoreError> {
        self.note(Done::Trimmed(shard, base));
        Ok(())
    }
}

/// Looks after all shards at once.
#[derive(Message)]
#[rtype(result = "()")]
struct LookAfterAll;

impl Handler<LookAfterAll> for Keeper<ToldJournal> {
    type Result = ();

    fn handle(&mut self, _: LookAfterAll, ctx: &mut Context<Self>) {
        (0..UPKEEP_PARTS).for_each(|_| self.look_after(ctx));
    }
}

/// A host of nine shards, and what surrounds it.
struct Bench {
    host: Arc<SharedHost<ToldJournal>>,
    keeper: Addr<Keeper<ToldJournal>>,
    /// What the journal is told for its next group.
    lost: Sender<Vec<ShardId>>,
    offered: Receiver<FlushBatch>,
    archiver: Archiver,
    usage: Arc<Usage>,
    metrics: Arc<Metrics>,
    journal: Arc<ToldJournal>,
}

impl Bench {
    /// The shards of these two are looked after in one turn.
    fn new(alice: &Username, bob: &Username) -> Bench {
        Bench::recovered(alice, bob, |_, _| ())
    }

    /// The same with a past of the first shard.
    fn recovered(
        alice: &Username,
        bob: &Username,
        replay: impl FnOnce(&mut Shard, UnixMs),
    ) -> Bench {
        let (lost, told) = channel();
        let journal = Arc::new(ToldJournal {
            told: Mutex::new(told),
            done: Mutex::default(),
        });
        let pause = Pause {
            per_record: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let committer = Committer::start(journal.clone(), 1, pause, |error| panic!("{error}"));
        let (archiver, offered) = Archiver::of_test();
        let (clock, metrics) = (Clock::start(UnixMs::default()), Arc::new(Metrics::new()));
        let usage = Arc::new(Usage::new(1 << 30, 1_000));
        let seat = Seat {
            clock,
            limits: Arc::default(),
            usage: usage.clone(),
            staging: committer.expect("a thread").staging(0),
            journal: journal.clone(),
            archiver: archiver.clone(),
            metrics: metrics.clone(),
            gate: Gate::Fence,
            request_timeout: Duration::from_secs(60),
            losses: None,
        };
        let (first, last) = (shard_of(alice), shard_of(bob));
        let others = ShardId::all().filter(|id| *id != first && *id != last);
        let ids = [first].into_iter().chain(others.take(7)).chain([last]);
        let shards = ids.map(|id| Shard::new(id, clock.now(), Spread::new(7)));
        let mut shards: Vec<_> = shards.collect();
        replay(&mut shards[0], clock.now());
        let host = Arc::new(SharedHost::new(seat, shards));
        Bench {
            keeper: Keeper::start_here(host.clone()),
            host,
            lost,
            offered,
            archiver,
            usage,
            metrics,
            journal,
        }
    }

    /// Tells the journal that the next group is durable, and which shards are lost.
    fn commit(&self, lost: &[ShardId]) {
        self.lost.send(lost.to_vec()).expect("a journal");
    }

    async fn post(&self, username: &Username) -> MessageId {
        self.try_post(username).await.expect("room")
    }

    async fn try_post(&self, username: &Username) -> Result<MessageId, Refusal> {
        self.post_for(username, 60_000).await
    }

    async fn post_for(&self, username: &Username, ttl_ms: u64) -> Result<MessageId, Refusal> {
        let post = Post {
            username: username.clone(),
            hash: username.hash(),
            content: Content::new("text", Attributes::default()),
            ttl_ms,
            key: None,
        };
        self.commit(&[]);
        match self.host.post(post).wait().await {
            Ok(accepted) => Ok(accepted.id),
            Err(CallError::Refused(refusal)) => Err(refusal),
            Err(error) => panic!("{error}"),
        }
    }

    fn take(&self, username: &Username) -> impl Future<Output = Result<Delivery, CallError>> {
        let take = Take {
            username: username.clone(),
            hash: username.hash(),
            limit: 10,
            key: None,
            is_repeat: false,
        };
        self.host.take(take).wait()
    }

    async fn find(&self, id: MessageId) -> Found {
        self.commit(&[]);
        self.host.find(id).wait().await.expect("an answer")
    }

    async fn look_after(&self) {
        self.tell(LookAfterAll).await;
    }

    /// Tells the keeper something and waits until it has done it.
    async fn tell<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Keeper<ToldJournal>: Handler<M>,
    {
        self.keeper.send(message).await.expect("a keeper");
    }

    /// What was offered to the archive since, by shard.
    fn offered(&self) -> Vec<(ShardId, Vec<MessageId>)> {
        let parts = self.offered.try_iter().flat_map(|batch| batch.parts);
        parts
            .map(|(shard, _, endings)| (shard, endings.iter().map(|ended| ended.id).collect()))
            .collect()
    }
}

fn shard_of(username: &Username) -> ShardId {
    username.hash().route().shard()
}

fn names() -> [Username; 2] {
    ["alice", "bob"].map(Username::from_stored)
}

fn run(test: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(test);
}

#[test]
fn what_ended_in_a_shard_that_is_lost_at_that_commit_is_neither_archived_nor_counted() {
    run(async {
        let [alice, bob] = names();
        let bench = Bench::new(&alice, &bob);
        bench.post(&alice).await;
        let kept = bench.post(&bob).await;
        let (of_alice, of_bob) = (bench.take(&alice), bench.take(&bob));
        bench.look_after().await;
        assert_eq!(bench.offered(), [], "nothing is durable yet");
        // The two takes are in one group or in two.
        bench.commit(&[shard_of(&alice)]);
        bench.commit(&[]);
        let delivery = of_bob.await.expect("an answer");
        assert_eq!(delivery.messages.len(), 1);
        assert!(of_alice.await.is_err(), "nobody knows what became of it");
        assert_eq!(bench.offered(), [(shard_of(&bob), vec![kept])]);
        let metrics = &bench.metrics;
        assert_eq!((metrics.posted.get(), metrics.delivered.get()), (2, 1));
        assert_eq!(metrics.unread.get(), 0);
    });
}

#[test]
fn what_is_asked_before_the_keeper_has_its_first_turn_is_answered() {
    run(async {
        let [alice, bob] = names();
        let bench = Bench::new(&alice, &bob);
        let count = bench.host.count(alice.clone(), alice.hash());
        bench.commit(&[]);
        while bench.journal.done.lock().expect("no panic").is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The committer tells at once that it is done.
        std::thread::sleep(Duration::from_millis(20));
        let counted = tokio::time::timeout(Duration::from_secs(10), count.wait()).await;
        assert_eq!(counted.expect("an answer").expect("a count").unread, 0);
    });
}

#[test]
fn what_was_archived_while_its_shard_was_frozen_is_archived_again_and_then_let_go() {
    run(async {
        let [alice, bob] = names();
        let (bench, shard) = (Bench::new(&alice, &bob), shard_of(&alice));
        let first = bench.post(&alice).await;
        let taken = bench.take(&alice);
        bench.commit(&[]);
        assert!(taken.await.is_ok());
        bench.look_after().await;
        assert_eq!(bench.offered(), [(shard, vec![first])]);
        let (settled, frozen) = oneshot::channel();
        bench.tell(Move::Freeze(shard, settled)).await;
        bench.commit(&[]);
        frozen.await.expect("a frozen shard");
        bench.tell(Archived(vec![(shard, 0)])).await;
        bench.tell(Move::Thaw(shard)).await;
        assert!(matches!(bench.find(first).await, Found::Ended(_)));
        let second = bench.post(&alice).await;
        let taken = bench.take(&alice);
        bench.commit(&[]);
        assert!(taken.await.is_ok());
        bench.look_after().await;
        assert_eq!(bench.offered(), [(shard, vec![first])]);
        bench.tell(Archived(vec![(shard, 1)])).await;
        assert!(
            matches!(bench.find(first).await, Found::Ended(_)),
            "of another stay"
        );
        // It is recorded, in the group of the look-up or in one before.
        bench.commit(&[]);
        bench.tell(Archived(vec![(shard, 0)])).await;
        assert_eq!(bench.find(first).await, Found::Elsewhere);
        assert!(matches!(bench.find(second).await, Found::Ended(_)));
    });
}

#[test]
fn the_journal_keeps_where_an_old_message_was_until_it_is_durable_where_it_was_recorded_again() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    run(async {
        let [alice, bob] = names();
        let stamp = |now: UnixMs| IdStamp {
            ms: UnixMs(now.0 - 2 * DAY_MS),
            counter: 0,
        };
        let bench = Bench::recovered(&alice, &bob, |shard, now| {
            let posted = Posted {
                username: alice.as_str(),
                id: MessageId::new(stamp(now), alice.hash().route(), 5),
                expires_at: now.plus_ms(DAY_MS),
                text: "old",
                attributes: Attributes::default(),
                key: None,
            };
            shard.replay(Position(0), stamp(now).ms, Event::Posted(posted));
            shard.resume(HighWater::default(), &Usage::new(0, 0));
        });
        bench.look_after().await;
        // What follows is in one group with it or in several.
        (0..8).for_each(|_| bench.commit(&[]));
        let young = bench.post(&bob).await;
        bench.find(young).await;
        bench.look_after().await;
        bench.find(young).await;
        let done = bench.journal.done.lock().expect("no panic");
        let place = |one: Done| done.iter().position(|other| *other == one);
        let trimmed = place(Done::Trimmed(shard_of(&alice), Position(1)));
        let appended = place(Done::Appended).expect("it was recorded again");
        assert!(trimmed.expect("it is let go") > appended);
    });
}

#[test]
fn while_the_archive_fails_posts_are_accepted_until_half_of_the_memory_is_used() {
    run(async {
        let [alice, bob] = names();
        let bench = Bench::new(&alice, &bob);
        bench.usage.take_bytes((1 << 29) - 1);
        bench.archiver.fail();
        bench.post(&alice).await;
        let refused = bench.try_post(&alice).await;
        assert_eq!(refused, Err(Refusal::StoreAway));
    });
}

#[test]
fn what_expires_within_a_pause_is_told_to_the_journal_together_and_never_delivered() {
    const MESSAGES: usize = 8;
    run(async {
        let [alice, bob] = names();
        let bench = Bench::new(&alice, &bob);
        let groups = || {
            let done = bench.journal.done.lock().expect("no panic");
            done.iter().filter(|one| **one == Done::Appended).count()
        };
        // As many groups as there may be.
        (0..100).for_each(|_| bench.commit(&[]));
        let began = Instant::now();
        for message in 0..MESSAGES as u64 {
            let posted = bench.post_for(&alice, 300 + 25 * message).await;
            posted.expect("room");
        }
        while bench.metrics.expired.get() < MESSAGES as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let turns = 1 + (began.elapsed().as_millis() / EXPIRY_PAUSE.as_millis()) as usize;
        let groups = groups();
        assert!(
            groups <= MESSAGES + turns,
            "{groups} groups in {turns} turns"
        );
        let taken = bench.take(&alice);
        assert_eq!(taken.await.expect("an answer").messages, []);
    });
}
