//! Shards as clients see them, and the proof that replaying the journal gives the same shard.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::spread::Spread;
use super::super::turn::Tally;
use super::super::usage::Usage;
use super::*;
use crate::domain::key::KeyKind;
use crate::domain::limits::Limits;
use crate::store::group::{Group, HighWater, records};
use crate::store::journal::Position;

/// A shard with its surroundings and everything it recorded, one batch each.
struct Bench {
    shard: Shard,
    limits: Limits,
    usage: Usage,
    batches: Vec<Group>,
    tally: Tally,
    now: u64,
    /// What was handed over to the archive, which loses nothing.
    archive: HashSet<MessageId>,
    is_flushing: bool,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            shard: Shard::new(ShardId(0), UnixMs(1_000), Spread::new(7)),
            limits: Limits {
                mailbox_messages_max: 5,
                ..Limits::default()
            },
            usage: Usage::new(1 << 30, 1_000),
            batches: Vec::new(),
            tally: Tally::default(),
            now: 1_000,
            archive: HashSet::new(),
            is_flushing: false,
        }
    }

    fn turn<R>(&mut self, call: impl FnOnce(&mut Shard, &mut Turn<'_>) -> R) -> R {
        let mut group = Group::default();
        let batch = self.batches.len() as u64 + 1;
        let answer = call(
            &mut self.shard,
            &mut Turn {
                now: UnixMs(self.now),
                random: batch.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                limits: &self.limits,
                usage: &self.usage,
                group: &mut group,
                batch,
                position: Position(batch),
                tally: &mut self.tally,
            },
        );
        self.batches.push(group);
        answer
    }

    fn post(
        &mut self,
        name: &str,
        text: &str,
        ttl_ms: u64,
        key: Option<u8>,
    ) -> Result<Accepted, Refusal> {
        let username = Username::from_stored(name);
        let hash = username.hash();
        let key = key.map(|key| KeyClaim {
            kind: KeyKind::Client,
            hash: [key; 16],
            body: text.len() as u64,
        });
        let content = Content::new(text, Attributes::default());
        self.turn(|shard, turn| {
            shard.post(
                Post {
                    username,
                    hash,
                    content,
                    ttl_ms,
                    key,
                },
                turn,
            )
        })
    }

    fn take(&mut self, name: &str, limit: usize, key: Option<u8>) -> Result<Delivery, Refusal> {
        let username = Username::from_stored(name);
        let hash = username.hash();
        let key = key.map(|key| KeyClaim {
            kind: KeyKind::Client,
            hash: [key; 16],
            body: limit as u64,
        });
        self.turn(|shard, turn| {
            shard.take(
                Take {
                    username,
                    hash,
                    limit,
                    key,
                    is_repeat: false,
                },
                turn,
            )
        })
    }

    /// An attempt of a read that another node forwards; always the same call.
    fn take_forwarded(&mut self, name: &str, is_repeat: bool) -> usize {
        let username = Username::from_stored(name);
        let take = Take {
            hash: username.hash(),
            username,
            limit: 10,
            key: Some(KeyClaim::of_call([9; 16])),
            is_repeat,
        };
        let delivery = self.turn(|shard, turn| shard.take(take, turn));
        delivery.expect("a read").messages.len()
    }

    fn find(&mut self, id: MessageId) -> Found {
        self.turn(|shard, turn| shard.find(id, turn))
    }

    fn count(&mut self, name: &str) -> usize {
        let username = Username::from_stored(name);
        self.turn(|shard, turn| shard.count(&username, username.hash(), turn))
            .unread
    }

    /// A shard recovered from everything recorded so far.
    fn recovered(&self) -> Bench {
        self.recovered_from(Position(0))
    }

    /// A shard recovered from what was recorded at or after a place.
    fn recovered_from(&self, base: Position) -> Bench {
        let mut bench = Bench::new();
        let mut high_water = HighWater::default();
        for (place, group) in self.batches.iter().enumerate() {
            high_water = high_water.max(group.high_water());
            let position = Position(place as u64 + 1);
            if position < base {
                continue;
            }
            for record in records(group.bytes()) {
                let record = record.expect("whole");
                let event = record.event().expect("known");
                bench.shard.replay(position, record.at, event);
            }
        }
        bench.tally.unread = bench.shard.resume(high_water, &bench.usage) as i64;
        bench.now = self.now;
        bench.batches = self.batches.clone();
        bench.archive = self.archive.clone();
        bench
    }

    /// One turn of the timer.
    fn expire(&mut self, messages_max: u64) {
        self.turn(|shard, turn| shard.expire_due(turn, messages_max));
    }

    /// Hands over what has ended, and tells how many messages that were.
    fn flush(&mut self) -> usize {
        let ended = self.shard.flush(UnixMs(self.now)).unwrap_or_default();
        self.archive.extend(ended.iter().map(|ended| ended.id));
        self.is_flushing |= !ended.is_empty();
        ended.len()
    }

    /// Tells the shard that the archive has what it handed over.
    fn let_go(&mut self) {
        if std::mem::take(&mut self.is_flushing) {
            self.turn(Shard::archived);
        }
    }

    /// Whether a message is where a look-up finds it.
    fn is_found(&mut self, id: MessageId) -> bool {
        self.find(id) != Found::Elsewhere || self.archive.contains(&id)
    }

    /// Where the next batch goes.
    fn end(&self) -> Position {
        Position(self.batches.len() as u64 + 1)
    }

    /// What the journal may be cut to.
    fn base(&self) -> Position {
        self.shard.base().unwrap_or(self.end())
    }

    /// Does what the host does once a second for old messages, and tells whether there was something.
    fn renew(&mut self) -> bool {
        let (now, end) = (UnixMs(self.now), self.end());
        let is_renewing = self.shard.is_renewing(now, end, None);
        if is_renewing {
            self.turn(Shard::renew);
        }
        is_renewing
    }
}

fn texts(delivery: &Delivery) -> Vec<&str> {
    delivery
        .messages
        .iter()
        .map(|message| message.content.text())
        .collect()
}

#[test]
fn a_read_delivers_once_and_the_message_is_found_as_read() {
    let mut bench = Bench::new();
    let id = bench.post("a", "one", 60_000, None).expect("room").id;
    assert!(matches!(bench.find(id), Found::Unread(..)));
    bench.now += 5;
    assert_eq!(texts(&bench.take("a", 9, None).expect("read")), ["one"]);
    assert_eq!(texts(&bench.take("a", 9, None).expect("read")), [""; 0]);
    let Found::Ended(ended) = bench.find(id) else {
        panic!("not ended")
    };
    assert_eq!((ended.end, ended.ended_at), (End::Read, UnixMs(1_005)));
}

#[test]
fn a_message_expires_at_its_deadline_for_every_question() {
    for (now, is_there) in [(1_099, true), (1_100, false), (1_101, false)] {
        let mut bench = Bench::new();
        let id = bench.post("a", "one", 100, None).expect("room").id;
        bench.now = now;
        let mut twin = bench.recovered();
        for bench in [&mut bench, &mut twin] {
            assert_eq!(bench.count("a") == 1, is_there, "count at {now}");
            assert_eq!(
                matches!(bench.find(id), Found::Unread(..)),
                is_there,
                "look-up at {now}"
            );
            assert_eq!(
                bench.take("a", 9, None).expect("read").messages.len() == 1,
                is_there,
                "read at {now}"
            );
        }
    }
}

#[test]
fn a_timeout_of_zero_ends_at_once_and_needs_no_room_in_the_mailbox() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.post("a", "full", 60_000, None).expect("room");
    }
    assert!(matches!(
        bench.post("a", "one more", 1, None),
        Err(Refusal::MailboxFull(_))
    ));
    let id = bench.post("a", "gone", 0, None).expect("needs no room").id;
    let Found::Ended(ended) = bench.find(id) else {
        panic!("not ended")
    };
    assert_eq!((ended.end, ended.ended_at), (End::Expired, id.created_at()));
}

#[test]
fn a_repeated_post_is_the_same_message_and_another_one_under_its_key_is_refused() {
    let mut bench = Bench::new();
    let first = bench.post("a", "one", 60_000, Some(1)).expect("room");
    for bench in [&mut bench.recovered(), &mut bench] {
        let again = bench.post("a", "one", 60_000, Some(1)).expect("a repeat");
        assert_eq!(
            again,
            Accepted {
                id: first.id,
                replayed: true
            }
        );
        assert_eq!(
            bench.post("a", "other", 60_000, Some(1)),
            Err(Refusal::KeyReused)
        );
        assert_eq!(bench.count("a"), 1);
    }
}

#[test]
fn a_repeated_read_is_the_same_set_an_empty_one_too_whatever_came_since() {
    let mut bench = Bench::new();
    assert!(
        bench
            .take("a", 9, Some(1))
            .expect("read")
            .messages
            .is_empty()
    );
    bench.post("a", "one", 60_000, None).expect("room");
    bench.post("a", "two", 60_000, None).expect("room");
    assert_eq!(texts(&bench.take("a", 1, Some(2)).expect("read")), ["one"]);
    bench.post("a", "three", 60_000, None).expect("room");
    for bench in [&mut bench.recovered(), &mut bench] {
        let (empty, one) = (bench.take("a", 9, Some(1)), bench.take("a", 1, Some(2)));
        let (empty, one) = (empty.expect("a repeat"), one.expect("a repeat"));
        assert!(empty.messages.is_empty() && empty.replayed && empty.archived.is_none());
        assert!(texts(&one) == ["one"] && one.replayed && one.archived.is_none());
        assert_eq!(bench.take("a", 2, Some(2)), Err(Refusal::KeyReused));
        assert_eq!(bench.count("a"), 2);
    }
}

#[test]
fn a_repeated_read_whose_messages_are_archived_says_where() {
    let mut bench = Bench::new();
    bench.post("a", "one", 60_000, None).expect("room");
    let read = bench.take("a", 9, Some(1)).expect("read");
    bench.now += 100;
    archive_all(&mut bench);
    let again = bench.take("a", 9, Some(1)).expect("a repeat");
    let place = again.archived.expect("it is in the archive");
    assert_eq!(
        (place.read_at, place.range.first, place.range.count),
        (UnixMs(1_000), read.messages[0].id, 1)
    );
}

#[test]
fn a_key_is_refused_when_as_many_are_remembered_as_may_be_and_nothing_is_done() {
    let mut bench = Bench::new();
    bench.usage = Usage::new(1 << 30, 1);
    bench
        .post("a", "one", 60_000, Some(1))
        .expect("room for one key");
    assert_eq!(
        bench.post("a", "two", 60_000, Some(2)),
        Err(Refusal::KeysFull)
    );
    assert_eq!(bench.take("a", 9, Some(3)), Err(Refusal::KeysFull));
    assert_eq!(bench.count("a"), 1);
}

#[test]
fn a_post_is_refused_when_memory_is_at_its_limit_and_everything_is_given_back() {
    let mut bench = Bench::new();
    bench.usage = Usage::new(1_000, 9);
    while bench.post("a", "text", 60_000, None).is_ok() {}
    assert_eq!(
        bench.post("b", "text", 60_000, None),
        Err(Refusal::MemoryFull)
    );
    bench.take("a", 9, None).expect("read");
    bench.now += 100;
    archive_all(&mut bench);
    assert_eq!(bench.usage.now(), (0, 0));
    assert!(bench.post("b", "text", 60_000, None).is_ok());
}

#[test]
fn the_journal_is_needed_as_long_as_a_message_or_a_key_is() {
    let mut bench = Bench::new();
    bench.post("a", "one", 60_000, None).expect("room");
    bench.post("b", "two", 60_000, Some(1)).expect("room");
    assert_eq!(bench.shard.base(), Some(Position(1)));
    bench.take("a", 9, None).expect("read");
    assert_eq!(
        bench.shard.base(),
        Some(Position(1)),
        "not before it is archived"
    );
    bench.now += 100;
    archive_all(&mut bench);
    assert_eq!(bench.shard.base(), Some(Position(2)));
    bench.take("b", 9, None).expect("read");
    bench.now += 100;
    archive_all(&mut bench);
    assert_eq!(
        bench.shard.base(),
        Some(Position(2)),
        "the key still needs it"
    );
    bench
        .shard
        .forget_keys(UnixMs(bench.now + 600_000), &bench.usage);
    assert_eq!(bench.shard.base(), None);
}

#[test]
fn a_late_first_attempt_of_a_read_finds_nothing_after_its_repeat_was_answered() {
    let mut bench = Bench::new();
    assert_eq!(bench.take_forwarded("alice", true), 0);
    bench.post("alice", "text", 60_000, None).expect("accepted");
    assert_eq!(bench.take_forwarded("alice", false), 0);
    assert_eq!(bench.count("alice"), 1, "it waits for another read");
}

#[test]
fn what_ends_after_a_flush_is_never_within_the_time_that_it_archived() {
    let mut bench = Bench::new();
    let kept = bench
        .post("alice", "text", 60_000, None)
        .expect("accepted")
        .id;
    bench.post("bob", "text", 60_000, None).expect("accepted");
    bench.take("bob", 1, None).expect("read");
    // A new owner, whose clock stands just behind what the old one recorded last.
    let mut bench = bench.recovered();
    bench.now -= 5;
    assert_eq!(bench.flush(), 1);
    bench.take("alice", 1, None).expect("read");
    bench.let_go();
    assert!(bench.recovered().is_found(kept), "not archived yet");
}

#[test]
fn what_a_full_turn_of_the_timer_left_is_never_within_the_time_that_is_archived() {
    let mut bench = Bench::new();
    let post = |user| bench.post(user, "text", 10_001, None).expect("accepted").id;
    let ids = ["alice", "bob", "carol", "dave"].map(post);
    bench.now += 10_050;
    bench.expire(1);
    assert_eq!(bench.flush(), 1);
    bench.expire(u64::MAX);
    bench.let_go();
    let mut bench = bench.recovered();
    assert_eq!(ids.map(|id| bench.is_found(id)), [true; 4]);
}

#[test]
fn whatever_is_due_at_once_expires_at_once_and_part_of_it_where_only_part_may() {
    let mut bench = Bench::new();
    let users = (0..100).map(|user| format!("user{user}"));
    let posts = users.map(|user| bench.post(&user, "text", 10_000, None));
    let ids: Vec<_> = posts.map(|post| post.expect("accepted").id).collect();
    bench.now += 10_050;
    bench.expire(40);
    assert_eq!(bench.flush(), 40);
    bench.expire(u64::MAX);
    bench.let_go();
    assert_eq!(bench.flush(), 60);
    bench.let_go();
    assert!(ids.iter().all(|id| bench.is_found(*id)));
}

#[test]
fn a_turn_of_the_timer_looks_at_no_mailbox_more_than_it_may_expire() {
    let mut bench = Bench::new();
    for user in ["alice", "bob", "carol", "dave"] {
        for _ in 0..5 {
            bench.post(user, "text", 10_000, None).expect("accepted");
        }
    }
    bench.now += 10_050;
    bench.expire(7);
    assert_eq!(bench.flush(), 10);
}

#[test]
fn what_is_due_where_the_wheel_of_a_recovered_shard_stands_is_never_archived_unseen() {
    for ttl_ms in 1..40 {
        let mut bench = Bench::new();
        let alice = bench.post("alice", "text", ttl_ms, None);
        bench.post("bob", "text", 60_000, None).expect("accepted");
        bench.take("bob", 1, None).expect("read");
        let mut bench = bench.recovered();
        // Looked after once it is due, before the timer rings.
        bench.now += ttl_ms + 20;
        assert_eq!(bench.flush(), 1);
        bench.expire(u64::MAX);
        bench.let_go();
        let id = alice.expect("accepted").id;
        assert!(bench.recovered().is_found(id), "with {ttl_ms} ms to live");
    }
}

#[test]
fn what_a_turn_left_where_the_wheel_of_a_recovered_shard_stands_is_never_archived_unseen() {
    for ttl_ms in 1..40 {
        let mut bench = Bench::new();
        let post = |user| bench.post(user, "text", ttl_ms, None).expect("accepted").id;
        let ids = ["alice", "bob"].map(post);
        let mut bench = bench.recovered();
        bench.now += ttl_ms + 50;
        bench.expire(1);
        assert_eq!(bench.flush(), 1);
        bench.expire(u64::MAX);
        bench.let_go();
        let mut bench = bench.recovered();
        assert_eq!(ids.map(|id| bench.is_found(id)), [true; 2], "{ttl_ms} ms");
    }
}

/// Does what the host and the archiver do, with an archive that takes everything.
fn archive_all(bench: &mut Bench) {
    bench.expire(u64::MAX);
    bench.flush();
    bench.let_go();
}

#[derive(Clone, Debug)]
enum Step {
    Post {
        user: u8,
        ttl_ms: u64,
        key: Option<u8>,
    },
    Take {
        user: u8,
        limit: usize,
        key: Option<u8>,
    },
    Wait {
        ms: u64,
    },
    Expire {
        messages_max: u64,
    },
    Flush,
    LetGo,
    Upkeep,
    Renew,
    Crash,
}

const HOUR_MS: u64 = 3_600_000;

fn step() -> impl Strategy<Value = Step> {
    let key = || proptest::option::weighted(0.2, 0..20u8);
    let ttl_ms = || prop_oneof![4 => 0..300u64, 2 => 0..60 * HOUR_MS, 1 => Just(720 * HOUR_MS)];
    let wait = prop_oneof![6 => 0..60u64, 2 => 0..20 * 60_000u64, 1 => 12 * HOUR_MS..30 * HOUR_MS];
    prop_oneof![
        8 => (0..4u8, ttl_ms(), key()).prop_map(|(user, ttl_ms, key)| Step::Post { user, ttl_ms, key }),
        3 => (0..4u8, 1..4usize, key()).prop_map(|(user, limit, key)| Step::Take { user, limit, key: key.map(|k| k + 100) }),
        4 => wait.prop_map(|ms| Step::Wait { ms }),
        2 => (1..3u64).prop_map(|messages_max| Step::Expire { messages_max }),
        2 => Just(Step::Flush),
        2 => Just(Step::LetGo),
        2 => Just(Step::Upkeep),
        4 => Just(Step::Renew),
        1 => Just(Step::Crash),
    ]
}

/// A text by which a message is told from the others; some are so long that a turn renews few of them.
fn text(number: usize) -> String {
    let padding = if number.is_multiple_of(7) { 150_000 } else { 0 };
    format!("{number}{}", "x".repeat(padding))
}

proptest! {
    #[test]
    fn a_recovered_shard_answers_as_the_one_that_crashed(steps in proptest::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new();
        let (mut ids, mut keys) = (Vec::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Post { user, ttl_ms, key } => {
                    keys.extend(key);
                    let accepted = bench.post(&format!("user{user}"), &text(number), ttl_ms, key);
                    ids.extend(accepted.ok().map(|accepted| accepted.id));
                }
                Step::Take { user, limit, key } => {
                    keys.extend(key);
                    drop(bench.take(&format!("user{user}"), limit, key));
                }
                Step::Wait { ms } => bench.now += ms,
                Step::Expire { messages_max } => bench.expire(messages_max),
                Step::Flush => drop(bench.flush()),
                Step::LetGo => bench.let_go(),
                Step::Upkeep => {
                    archive_all(&mut bench);
                    bench.shard.forget_keys(UnixMs(bench.now), &bench.usage);
                }
                Step::Renew => drop(bench.renew()),
                Step::Crash => {
                    let Bench { shard, usage, tally, .. } = bench.recovered_from(bench.base());
                    bench = Bench { shard, usage, tally, is_flushing: false, ..bench };
                }
            }
        }
        let base = bench.base();
        prop_assert!(base_when_archived(&bench).is_none_or(|found| found >= base), "nothing before is needed");
        let twins = [bench.recovered(), bench.recovered_from(base)];
        prop_assert!(ids.iter().all(|id| bench.is_found(*id)), "no look-up misses a message");
        let answers = answers(&mut bench, &ids, &keys);
        for mut twin in twins {
            prop_assert!(ids.iter().all(|id| twin.is_found(*id)), "nor after a restart");
            let recovered = self::answers(&mut twin, &ids, &keys);
            for (live, recovered) in answers.found.iter().zip(&recovered.found) {
                // The live shard forgets what is archived a little later than the journal says it may.
                if live != recovered {
                    let is_archived = |found: &Found| matches!(found, Found::Ended(_) | Found::Elsewhere);
                    prop_assert!(is_archived(live) && is_archived(recovered), "{:?} and {:?}", live, recovered);
                }
            }
            prop_assert!(answers.mailboxes == recovered.mailboxes, "the same waits in the same order");
            prop_assert_eq!(&answers.known, &recovered.known);
            prop_assert_eq!((answers.unread, recovered.unread), (0, 0), "nothing is left, and both counted it");
        }
    }
}

/// What is needed of the whole journal when the archive has all that ended.
fn base_when_archived(bench: &Bench) -> Option<Position> {
    let (mut twin, now) = (bench.recovered().shard, UnixMs(bench.now));
    twin.replay(bench.end(), now, Event::Archived { through: now });
    twin.forget_keys(now, &Usage::new(0, 0));
    twin.base()
}

/// What a shard says to everything that can be asked of it.
#[derive(Debug)]
struct Answers {
    found: Vec<Found>,
    /// Of each user: how many wait, and a read of all.
    mailboxes: Vec<(usize, Result<Delivery, Refusal>)>,
    /// Which keys it knows.
    known: Vec<bool>,
    unread: i64,
}

fn answers(bench: &mut Bench, ids: &[MessageId], keys: &[u8]) -> Answers {
    let found = ids.iter().map(|id| bench.find(*id)).collect();
    let claim = |key: &u8| KeyClaim {
        kind: KeyKind::Client,
        hash: [*key; 16],
        body: 0,
    };
    let known = |key| bench.turn(|shard, turn| shard.knows(Some(claim(key)), turn));
    let known = keys.iter().map(known).collect();
    let read = |user| {
        let name = format!("user{user}");
        (bench.count(&name), bench.take(&name, 9, None))
    };
    let mailboxes = (0..4).map(read).collect();
    Answers {
        found,
        mailboxes,
        known,
        unread: bench.tally.unread,
    }
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod renewal;
