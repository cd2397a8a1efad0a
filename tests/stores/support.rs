//! Groups, messages and waiting, for all modules.

use std::collections::BTreeMap;
use std::future::Future;

use mayfly::domain::event::{Event, Posted};
use mayfly::domain::id::{IdStamp, MessageId};
use mayfly::domain::message::{Attributes, Content, End, Ended};
use mayfly::domain::time::UnixMs;
use mayfly::domain::username::{ShardId, Username};
use mayfly::store::group::{Group, HighWater};
use mayfly::store::journal::{Appended, Journal, Position};

/// 2023-11-14T22:13:20Z, as good a beginning as any.
pub const START: UnixMs = UnixMs(1_700_000_000_000);

/// What a future gives, on this thread.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

/// A name of which every test knows the shard.
pub fn username(number: usize) -> Username {
    Username::parse(&format!("user-{number}"), 200).unwrap()
}

/// The shard of a name.
pub fn shard_of(name: &Username) -> ShardId {
    name.hash().route().shard()
}

/// The id of the message that `name` gets at `START` plus `ms`.
pub fn id(name: &Username, ms: u64, counter: u16) -> MessageId {
    let stamp = IdStamp {
        ms: START.plus_ms(ms),
        counter,
    };
    MessageId::new(stamp, name.hash().route(), u64::from(counter) * 7919 + ms)
}

/// A message that ended `life_ms` after it came.
pub fn ended(name: &Username, ms: u64, counter: u16, life_ms: u64, end: End) -> Ended {
    Ended {
        id: id(name, ms, counter),
        username: name.clone(),
        content: Content::new(&format!("text {ms} {counter}"), Attributes::default()),
        ended_at: START.plus_ms(ms + life_ms),
        end,
    }
}

/// A group of one post whose text names it.
pub fn post(number: u64, text: &str) -> Group {
    let name = username(number as usize % 100);
    let mut group = Group::default();
    push_post(&mut group, &name, number, text);
    group
}

/// Appends a group, of which no shard may be lost.
pub fn append(journal: &impl Journal, group: &Group) {
    assert_eq!(now(journal.append(group)).unwrap(), Appended::default());
}

/// Adds a post at `START` plus `ms`.
pub fn push_post(group: &mut Group, name: &Username, ms: u64, text: &str) {
    let at = START.plus_ms(ms);
    let event = Event::Posted(Posted {
        username: name.as_str(),
        id: id(name, ms, 0),
        expires_at: at.plus_ms(60_000),
        text,
        attributes: Attributes::default(),
        key: None,
    });
    group.push(shard_of(name), at, &event);
}

/// The texts of all posts in the journal with their places, and its high water.
pub fn replay(journal: &impl Journal) -> (Vec<(Position, String)>, HighWater) {
    replay_shards(journal, &ShardId::all().collect::<Vec<_>>())
}

/// The texts of the posts of some shards.
pub fn replay_shards(
    journal: &impl Journal,
    shards: &[ShardId],
) -> (Vec<(Position, String)>, HighWater) {
    let mut texts = Vec::new();
    let high_water = now(journal.replay(shards, &mut |position, record| {
        if let Event::Posted(posted) = record.event().unwrap() {
            texts.push((position, posted.text.to_owned()));
        }
        Ok(())
    }))
    .unwrap();
    (texts, high_water)
}

/// A shard; the embedded journal has the same place for all.
pub const ANY: ShardId = ShardId(0);

/// The texts of the posts of some shards by shard, in the order of the journal.
pub fn texts_by_shard(
    journal: &impl Journal,
    shards: &[ShardId],
) -> BTreeMap<ShardId, Vec<String>> {
    let mut texts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    now(journal.replay(shards, &mut |_, record| {
        if let Event::Posted(posted) = record.event().unwrap() {
            let text = posted.text.to_owned();
            texts.entry(record.shard).or_default().push(text);
        }
        Ok(())
    }))
    .unwrap();
    texts
}

/// Only the texts.
pub fn texts(journal: &impl Journal) -> Vec<String> {
    replay(journal)
        .0
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

/// Waits for other threads until `done`, and fails after a minute.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(
            start.elapsed().as_secs() < 60,
            "waited a minute until {what}"
        );
        std::thread::yield_now();
    }
}
