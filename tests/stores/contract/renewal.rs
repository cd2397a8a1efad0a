//! What every journal gives back when old messages are recorded again.

use mayfly::domain::id::MessageId;
use mayfly::domain::limits::Limits;
use mayfly::domain::message::{Attributes, Content};
use mayfly::domain::time::UnixMs;
use mayfly::domain::username::{ShardId, Username};
use mayfly::shard::call::{Found, Post, Take};
use mayfly::shard::recovery::recover;
use mayfly::shard::renewal::SharedJournal;
use mayfly::shard::spread::Spread;
use mayfly::shard::turn::{Tally, Turn};
use mayfly::shard::usage::Usage;
use mayfly::shard::value::Shard;
use mayfly::store::group::Group;
use mayfly::store::journal::Journal;

use super::Factory;
use super::journal::{ends, trim_all, until_gone};
use crate::support::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// One shard on a journal, at a time of the test's choice.
struct Bench<'a, J> {
    shard: Shard,
    journal: &'a J,
    usage: Usage,
    now: UnixMs,
}

impl<J: Journal> Bench<'_, J> {
    fn recover(journal: &J, id: ShardId, at: UnixMs) -> Bench<'_, J> {
        let usage = Usage::new(1 << 30, 1_000);
        let mut recovered = now(recover(journal, &[id], at, Spread::new(7), &usage)).unwrap();
        Bench {
            shard: recovered.shards.remove(0),
            journal,
            usage,
            now: at,
        }
    }

    /// Runs a call and makes durable what it recorded.
    fn turn<R>(&mut self, call: impl FnOnce(&mut Shard, &mut Turn<'_>) -> R) -> R {
        let (mut group, mut tally) = (Group::default(), Tally::default());
        let mut turn = Turn {
            now: self.now,
            random: rand::random(),
            limits: &Limits::default(),
            usage: &self.usage,
            group: &mut group,
            batch: 1,
            position: self.journal.position(self.shard.id),
            tally: &mut tally,
        };
        let answer = call(&mut self.shard, &mut turn);
        append(self.journal, &group);
        answer
    }

    fn post(&mut self, username: &Username, text: &str) -> MessageId {
        let post = Post {
            username: username.clone(),
            hash: username.hash(),
            content: Content::new(text, Attributes::default()),
            ttl_ms: 30 * DAY_MS,
            key: None,
        };
        self.turn(|shard, turn| shard.post(post, turn)).unwrap().id
    }

    fn read(&mut self, username: &Username) -> usize {
        let take = Take {
            username: username.clone(),
            hash: username.hash(),
            limit: 10,
            key: None,
            is_repeat: false,
        };
        let delivery = self.turn(|shard, turn| shard.take(take, turn));
        delivery.unwrap().messages.len()
    }

    /// What a host does: archives, records old messages again, lets the journal go.
    fn look_after(&mut self) {
        self.turn(|shard, turn| shard.expire_due(turn, u64::MAX));
        if self.shard.flush(self.now).is_some() {
            self.turn(Shard::archived);
        }
        let end = self.journal.position(self.shard.id);
        let place_bytes = self.journal.place_bytes();
        let shared = place_bytes.map(|place_bytes| SharedJournal {
            place_bytes,
            live_bytes: self.usage.now().0,
        });
        if self.shard.is_renewing(self.now, end, shared) {
            self.turn(Shard::renew);
        }
        let mut bases = ends(self.journal);
        let mine = &mut bases[self.shard.id.index()];
        mine.1 = self.shard.base().unwrap_or(mine.1);
        trim_all(self.journal, &bases);
    }
}

pub fn a_long_lived_message_among_many_others_lets_the_journal_go<F: Factory>() {
    let mut factory = F::default();
    let mut stores = factory.open();
    let patient = username(1);
    let beside = |name: &Username| shard_of(name) == shard_of(&patient);
    let busy = (2..).map(username).find(beside).unwrap();
    let (mut at, mut old) = (START, None);
    for round in 0..4 {
        let mut bench = Bench::recover(&stores.journal, shard_of(&patient), at);
        let id = *old.get_or_insert_with(|| bench.post(&patient, "old"));
        let filler = format!("filler {round}");
        bench.post(&busy, &filler);
        assert_eq!(bench.read(&busy), 1);
        factory.next_place(&stores);
        at = at.plus_ms(DAY_MS);
        bench.now = at;
        bench.look_after();
        until_gone(&stores.journal, "old");
        until_gone(&stores.journal, &filler);
        stores = factory.crash(stores);
        let mut bench = Bench::recover(&stores.journal, shard_of(&patient), at);
        let found = bench.turn(|shard, turn| shard.find(id, turn));
        assert!(matches!(found, Found::Unread(..)), "in round {round}");
    }
    let mut bench = Bench::recover(&stores.journal, shard_of(&patient), at);
    assert_eq!(bench.read(&patient), 1);
}
