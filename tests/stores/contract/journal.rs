//! What every journal promises, and the claims.

use std::collections::{BTreeMap, BTreeSet};

use mayfly::domain::event::{Event, Kept};
use mayfly::domain::id::IdStamp;
use mayfly::domain::message::Attributes;
use mayfly::domain::time::UnixMs;
use mayfly::domain::username::ShardId;
use mayfly::store::StoreError;
use mayfly::store::claims::{Claims, Epoch};
use mayfly::store::group::Group;
use mayfly::store::journal::{Journal, Position};

use super::Factory;
use crate::support::*;

pub fn appended_groups_are_replayed_in_order_also_after_a_crash<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for number in 0..250 {
        let text = format!("text {number}");
        append(&stores.journal, &post(number, &text));
        let shard = shard_of(&username(number as usize % 100));
        expected.entry(shard).or_default().push(text);
    }
    let shards: Vec<_> = ShardId::all().collect();
    let stores = factory.crash(stores);
    assert_eq!(texts_by_shard(&stores.journal, &shards), expected);
    append(&stores.journal, &post(50, "one more"));
    let last = expected.get_mut(&shard_of(&username(50))).unwrap();
    last.push(String::from("one more"));
    let stores = factory.crash(stores);
    assert_eq!(texts_by_shard(&stores.journal, &shards), expected);
}

pub fn an_empty_group_and_an_empty_journal_are_nothing<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    assert!(texts(&stores.journal).is_empty());
    append(&stores.journal, &Group::default());
    let stores = factory.crash(stores);
    let (texts, high_water) = replay(&stores.journal);
    assert!(texts.is_empty());
    assert_eq!(high_water.at, UnixMs(0));
    assert!(stores.journal.has_room());
}

pub fn a_group_of_many_records_is_replayed_whole_and_in_order<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let mut group = Group::default();
    let name = username(1);
    let expected: Vec<_> = (0..1_000)
        .map(|n| format!("{n}{}", "x".repeat(500)))
        .collect();
    for (ms, text) in expected.iter().enumerate() {
        push_post(&mut group, &name, ms as u64, text);
    }
    append(&stores.journal, &group);
    append(&stores.journal, &post(2_001, "after"));
    let stores = factory.crash(stores);
    let found = texts(&stores.journal);
    assert_eq!(found[..1_000], expected);
    assert_eq!(found[1_000..], ["after"]);
}

pub fn a_replay_visits_only_the_shards_it_is_asked_for<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    for number in 0..200 {
        let name = username(number as usize % 100);
        append(&stores.journal, &post(number, name.as_str()));
    }
    let all: BTreeSet<_> = (0..100).map(|n| shard_of(&username(n))).collect();
    let some: Vec<_> = all.iter().copied().step_by(3).collect();
    let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for name in (0..200).map(|n| username(n % 100)) {
        if some.contains(&shard_of(&name)) {
            let texts = expected.entry(shard_of(&name)).or_default();
            texts.push(name.to_string());
        }
    }
    assert_eq!(texts_by_shard(&stores.journal, &some), expected);
    let last = (0..200).rfind(|n| some.contains(&shard_of(&username(n % 100))));
    let (_, high_water) = replay_shards(&stores.journal, &some);
    assert!(high_water.at >= START.plus_ms(last.unwrap() as u64));
}

pub fn several_threads_replay_at_once<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    for number in 0..100 {
        append(&stores.journal, &post(number, "x"));
    }
    let stores = factory.crash(stores);
    let shards: Vec<_> = ShardId::all().collect();
    let journal = &stores.journal;
    let found: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = shards
            .chunks(64)
            .map(|shards| scope.spawn(move || replay_shards(journal, shards).0.len()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(found, 100);
}

pub fn the_high_water_covers_what_was_trimmed_too<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    append(&stores.journal, &post(1_000_000, "the latest"));
    for _ in 0..4 {
        factory.next_place(&stores);
    }
    let ends = ends(&stores.journal);
    trim_all(&stores.journal, &ends);
    until_gone(&stores.journal, "the latest");
    let stores = factory.crash(stores);
    let (_, high_water) = replay(&stores.journal);
    assert_eq!(high_water.at, START.plus_ms(1_000_000));
    let stamp = IdStamp {
        ms: START.plus_ms(1_000_000),
        counter: 0,
    };
    assert_eq!(high_water.stamp, stamp);
}

pub fn what_a_shard_needs_stays_until_every_shard_let_go_of_it<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let mine = shard_of(&username(1));
    let before = ends(&stores.journal);
    append(&stores.journal, &post(1, "needed"));
    factory.next_place(&stores);
    let now_at = ends(&stores.journal);
    assert!(now_at[mine.index()] > before[mine.index()]);
    let others: Vec<_> = now_at
        .iter()
        .map(|(shard, at)| (*shard, if *shard == mine { Position(0) } else { *at }))
        .collect();
    trim_all(&stores.journal, &others);
    trim_all(&stores.journal, &before[mine.index()..=mine.index()]);
    let stores = factory.crash(stores);
    assert!(texts(&stores.journal).contains(&"needed".to_owned()));
    trim_all(&stores.journal, &now_at);
    until_gone(&stores.journal, "needed");
    let stores = factory.crash(stores);
    assert!(!texts(&stores.journal).contains(&"needed".to_owned()));
}

pub fn a_trim_beyond_the_end_leaves_what_comes_next<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    append(&stores.journal, &post(1, "old"));
    factory.next_place(&stores);
    let beyond: Vec<_> = ends(&stores.journal)
        .into_iter()
        .map(|(shard, end)| (shard, Position(end.0 + 1_000)))
        .collect();
    trim_all(&stores.journal, &beyond);
    append(&stores.journal, &post(2, "next"));
    until_gone(&stores.journal, "old");
    let stores = factory.crash(stores);
    assert!(texts(&stores.journal).contains(&"next".to_owned()));
}

pub fn a_record_is_never_found_before_the_position_read_before_it_was_appended<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let mut at_least = Vec::new();
    for number in 0..40 {
        let text = format!("n{number}");
        let shard = shard_of(&username(number as usize % 100));
        at_least.push((stores.journal.position(shard), text.clone()));
        append(&stores.journal, &post(number, &text));
        if number % 10 == 9 {
            factory.next_place(&stores);
        }
    }
    let (found, _) = replay(&stores.journal);
    for (least, text) in at_least {
        let (position, _) = found.iter().find(|(_, found)| *found == text).unwrap();
        assert!(
            *position >= least,
            "{text} at {position:?}, before {least:?}"
        );
    }
}

pub fn a_replay_passes_on_what_the_visitor_refuses<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    append(&stores.journal, &post(1, "x"));
    let shards: Vec<_> = ShardId::all().collect();
    let result = now(stores.journal.replay(&shards, &mut |_, _| {
        Err(StoreError::Archive("refused".into()))
    }));
    assert!(matches!(result, Err(StoreError::Archive(_))));
}

pub fn every_kind_of_event_is_replayed_as_it_was<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = username(1);
    let kept = Kept {
        username: name.as_str(),
        id: id(&name, 1, 0),
        expires_at: START.plus_ms(60_000),
        text: "text",
        attributes: Attributes::default(),
    };
    let events = [
        Event::Advanced,
        Event::Archived { through: START },
        Event::Kept(kept),
    ];
    let mut group = Group::default();
    for event in &events {
        group.push(ShardId(255), START, event);
    }
    append(&stores.journal, &group);
    let stores = factory.crash(stores);
    let mut found = 0;
    now(stores.journal.replay(&[ShardId(255)], &mut |_, record| {
        assert_eq!((record.shard, record.at), (ShardId(255), START));
        assert_eq!(record.event().unwrap(), events[found]);
        found += 1;
        Ok(())
    }))
    .unwrap();
    assert_eq!(found, 3);
}

pub fn each_claim_is_under_a_greater_epoch_also_after_a_crash<F: Factory>() {
    let mut factory = F::default();
    let mut stores = factory.open();
    let shards: Vec<_> = ShardId::all().collect();
    let mut last = now(stores.claims.claim(&shards)).unwrap();
    for _ in 0..3 {
        let next = now(stores.claims.claim(&shards)).unwrap();
        assert!(grew(&last, &next));
        stores = factory.crash(stores);
        last = now(stores.claims.claim(&shards)).unwrap();
        assert!(grew(&next, &last));
    }
}

fn grew(before: &[Epoch], after: &[Epoch]) -> bool {
    assert_eq!(before.len(), after.len());
    before
        .iter()
        .zip(after)
        .all(|(before, after)| after > before)
}

/// Where the next records of each shard go.
pub fn ends(journal: &impl Journal) -> Vec<(ShardId, Position)> {
    ShardId::all()
        .map(|shard| (shard, journal.position(shard)))
        .collect()
}

pub fn trim_all(journal: &impl Journal, bases: &[(ShardId, Position)]) {
    for (shard, base) in bases {
        now(journal.trim(*shard, *base)).unwrap();
    }
}

/// Waits until `text` is let go: a trim may do its work later.
pub fn until_gone(journal: &impl Journal, text: &str) {
    let shards: Vec<_> = ShardId::all().collect();
    until("the old records are gone", || {
        let mut found = false;
        let replay = now(journal.replay(&shards, &mut |_, record| {
            found |=
                matches!(record.event().unwrap(), Event::Posted(posted) if posted.text == text);
            Ok(())
        }));
        // A replay during a trim may find the file gone that it is about to read.
        replay.is_ok() && !found
    });
}
