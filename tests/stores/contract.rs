//! What every implementation of the three traits promises. An implementation gives a [`Factory`]; the
//! macro at the end makes a test of every promise.

use std::collections::BTreeSet;

use mayfly::domain::event::{Event, TakenRange};
use mayfly::domain::id::IdStamp;
use mayfly::domain::message::{Attributes, Content, End, Ended};
use mayfly::domain::time::UnixMs;
use mayfly::domain::username::{ShardId, Username};
use mayfly::store::StoreError;
use mayfly::store::archive::{Archive, ArchiveKey};
use mayfly::store::claims::Claims;
use mayfly::store::group::Group;
use mayfly::store::journal::{Journal, Position};

use crate::support::*;

/// Makes the stores under test, on data of its own.
pub trait Factory: Default {
    /// What it makes.
    type Claims: Claims;
    /// What it makes.
    type Journal: Journal;
    /// What it makes.
    type Archive: Archive;

    /// Opens the data: empty at first, later what was left there.
    fn open(&mut self) -> Opened<Self>;

    /// Closes without warning and opens again, as after a crash.
    fn crash(&mut self, opened: Opened<Self>) -> Opened<Self>;

    /// Appends until the journal has gone on to a new place.
    fn next_place(&self, opened: &Opened<Self>);
}

/// The three stores.
pub struct Opened<F: Factory + ?Sized> {
    pub claims: F::Claims,
    pub journal: F::Journal,
    pub archive: F::Archive,
}

pub fn appended_groups_are_replayed_in_order_also_after_a_crash<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let expected: Vec<_> = (0..50).map(|n| format!("text {n}")).collect();
    for (number, text) in expected.iter().enumerate() {
        now(stores.journal.append(&post(number as u64, text))).unwrap();
    }
    let stores = factory.crash(stores);
    assert_eq!(texts(&stores.journal), expected);
    now(stores.journal.append(&post(50, "one more"))).unwrap();
    let stores = factory.crash(stores);
    assert_eq!(texts(&stores.journal).last().unwrap(), "one more");
    assert_eq!(texts(&stores.journal).len(), 51);
}

pub fn an_empty_group_and_an_empty_journal_are_nothing<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    assert!(texts(&stores.journal).is_empty());
    now(stores.journal.append(&Group::default())).unwrap();
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
    now(stores.journal.append(&group)).unwrap();
    now(stores.journal.append(&post(2_000, "after"))).unwrap();
    let stores = factory.crash(stores);
    let found = texts(&stores.journal);
    assert_eq!(found[..1_000], expected);
    assert_eq!(found[1_000..], ["after"]);
}

pub fn a_replay_visits_only_the_shards_it_is_asked_for<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    for number in 0..200 {
        now(stores
            .journal
            .append(&post(number, &username(number as usize % 100).to_string())))
        .unwrap();
    }
    let all: BTreeSet<_> = (0..100).map(|n| shard_of(&username(n))).collect();
    let some: Vec<_> = all.iter().copied().step_by(3).collect();
    let (found, high_water) = replay_shards(&stores.journal, &some);
    let expected: Vec<_> = (0..200)
        .map(|n| username(n % 100))
        .filter(|name| some.contains(&shard_of(name)))
        .map(|name| name.to_string())
        .collect();
    let found: Vec<_> = found.into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, expected);
    assert_eq!(
        high_water.at,
        START.plus_ms(199),
        "the high water is of all shards"
    );
}

pub fn several_threads_replay_at_once<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    for number in 0..100 {
        now(stores.journal.append(&post(number, "x"))).unwrap();
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
    now(stores.journal.append(&post(1_000_000, "the latest"))).unwrap();
    for _ in 0..4 {
        factory.next_place(&stores);
    }
    trim_all(&stores.journal, stores.journal.position());
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
    let before = stores.journal.position();
    now(stores.journal.append(&post(1, "needed"))).unwrap();
    factory.next_place(&stores);
    let now_at = stores.journal.position();
    assert!(now_at > before);
    let last = ShardId::all().last().unwrap();
    for shard in ShardId::all().filter(|shard| *shard != shard_of(&username(1))) {
        now(stores.journal.trim(shard, now_at)).unwrap();
    }
    now(stores.journal.trim(last, before)).unwrap();
    let stores = factory.crash(stores);
    assert!(texts(&stores.journal).contains(&"needed".to_owned()));
    trim_all(&stores.journal, now_at);
    until_gone(&stores.journal, "needed");
    let stores = factory.crash(stores);
    assert!(!texts(&stores.journal).contains(&"needed".to_owned()));
}

pub fn a_record_is_never_found_before_the_position_read_before_it_was_appended<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let mut at_least = Vec::new();
    for number in 0..40 {
        let text = format!("n{number}");
        at_least.push((stores.journal.position(), text.clone()));
        now(stores.journal.append(&post(number, &text))).unwrap();
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
    now(stores.journal.append(&post(1, "x"))).unwrap();
    let shards: Vec<_> = ShardId::all().collect();
    let result = now(stores.journal.replay(&shards, &mut |_, _| {
        Err(StoreError::Archive("refused".into()))
    }));
    assert!(matches!(result, Err(StoreError::Archive(_))));
}

pub fn every_kind_of_event_is_replayed_as_it_was<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let events = [Event::Advanced, Event::Archived { through: START }];
    let mut group = Group::default();
    for event in &events {
        group.push(ShardId(255), START, event);
    }
    now(stores.journal.append(&group)).unwrap();
    let stores = factory.crash(stores);
    let mut found = 0;
    now(stores.journal.replay(&[ShardId(255)], &mut |_, record| {
        assert_eq!((record.shard, record.at), (ShardId(255), START));
        assert_eq!(record.event().unwrap(), events[found]);
        found += 1;
        Ok(())
    }))
    .unwrap();
    assert_eq!(found, 2);
}

pub fn each_claim_is_under_a_greater_epoch_also_after_a_crash<F: Factory>() {
    let mut factory = F::default();
    let mut stores = factory.open();
    let shards: Vec<_> = ShardId::all().collect();
    let mut last = now(stores.claims.claim(&shards)).unwrap();
    for _ in 0..5 {
        let next = now(stores.claims.claim(&shards)).unwrap();
        assert!(next > last);
        stores = factory.crash(stores);
        last = now(stores.claims.claim(&shards)).unwrap();
        assert!(last > next);
    }
}

pub fn an_archived_message_is_found_by_its_id_as_it_was<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = Username::parse("Łukasz", 200).unwrap();
    let attributes = Attributes(vec![
        ("city".into(), "New York".into()),
        ("".into(), "".into()),
    ]);
    let batch = [
        Ended {
            content: Content::new("a \0 text", attributes),
            ..ended(&name, 0, 1, 60_000, End::Expired)
        },
        ended(&name, 0, 2, 0, End::Read),
    ];
    now(stores.archive.put(&batch)).unwrap();
    let stores = factory.crash(stores);
    for message in &batch {
        assert_eq!(
            now(stores.archive.get(message.id)).unwrap().as_ref(),
            Some(message)
        );
    }
    assert_eq!(now(stores.archive.get(id(&name, 0, 3))).unwrap(), None);
    assert_eq!(
        now(stores.archive.get(id(&name, 400 * DAY_MS, 1))).unwrap(),
        None
    );
}

pub fn a_message_that_ended_before_its_id_says_it_began_is_found<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = username(3);
    let message = Ended {
        ended_at: START,
        ..ended(&name, 5, 1, 0, End::Read)
    };
    now(stores.archive.put(std::slice::from_ref(&message))).unwrap();
    assert_eq!(now(stores.archive.get(message.id)).unwrap(), Some(message));
}

pub fn a_batch_repeated_wholly_or_in_part_changes_nothing<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let batch: Vec<_> = (0..300)
        .map(|n| ended(&username(n % 7), n as u64, n as u16, 1_000, End::Expired))
        .collect();
    now(stores.archive.put(&batch[..200])).unwrap();
    now(stores.archive.put(&batch[100..])).unwrap();
    now(stores.archive.put(&batch)).unwrap();
    now(stores.archive.put(&[batch[3].clone(), batch[3].clone()])).unwrap();
    now(stores.archive.put(&[])).unwrap();
    let stores = factory.crash(stores);
    assert_eq!(list_all(&stores.archive, 1_000), in_order(&batch));
}

pub fn a_list_has_every_message_once_in_archive_order_whatever_the_page<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let mut batch: Vec<_> = (0..100)
        .map(|n| {
            let life_ms = n as u64 % 4 * DAY_MS;
            ended(&username(n), n as u64 % 10, n as u16, life_ms, End::Expired)
        })
        .collect();
    batch.reverse();
    for part in batch.chunks(9) {
        now(stores.archive.put(part)).unwrap();
    }
    for limit in [1, 7, 99, 100, 101] {
        assert_eq!(
            list_all(&stores.archive, limit),
            in_order(&batch),
            "pages of {limit}"
        );
    }
    assert_eq!(now(stores.archive.list(None, 0)).unwrap(), []);
}

pub fn what_one_read_delivered_is_found_together<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = username(1);
    let neighbour = (2..)
        .map(username)
        .find(|other| shard_of(other) == shard_of(&name))
        .unwrap();
    let mine: Vec<_> = (0..10)
        .map(|n| ended(&name, 0, 10 + n, 100, End::Read))
        .collect();
    let mut batch = mine.clone();
    batch.push(ended(&neighbour, 0, 14, 100, End::Read));
    batch.push(ended(&name, 0, 30, 100, End::Expired));
    batch.push(ended(&name, 0, 15, 101, End::Read));
    now(stores.archive.put(&batch)).unwrap();
    let found = |first: usize, last: usize, read_at: u64| {
        let range = TakenRange {
            first: mine[first].id,
            last: mine[last].id,
            count: (last - first + 1) as u32,
        };
        let at = START.plus_ms(read_at);
        now(stores
            .archive
            .read_together(shard_of(&name), at, range, name.as_str()))
        .unwrap()
    };
    assert_eq!(found(0, 9, 100), mine);
    assert_eq!(found(2, 4, 100), mine[2..=4]);
    assert_eq!(found(0, 9, 99), []);
    assert_eq!(found(0, 9, 400 * DAY_MS), []);
}

pub fn whole_days_are_dropped_and_nothing_else<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = username(1);
    let midnight_ms = DAY_MS - START.0 % DAY_MS;
    let before = ended(&name, 0, 1, midnight_ms - 1, End::Expired);
    let after = ended(&name, 0, 2, midnight_ms, End::Expired);
    now(stores.archive.put(&[before.clone(), after.clone()])).unwrap();
    now(stores.archive.drop_before(before.ended_at)).unwrap();
    assert_eq!(
        now(stores.archive.get(before.id)).unwrap(),
        Some(before.clone())
    );
    now(stores
        .archive
        .drop_before(after.ended_at.plus_ms(DAY_MS - 1)))
    .unwrap();
    let stores = factory.crash(stores);
    assert_eq!(now(stores.archive.get(before.id)).unwrap(), None);
    assert_eq!(
        now(stores.archive.get(after.id)).unwrap(),
        Some(after.clone())
    );
    assert_eq!(list_all(&stores.archive, 10), [after.clone()]);
    now(stores
        .archive
        .drop_before(after.ended_at.plus_ms(100 * DAY_MS)))
    .unwrap();
    assert_eq!(now(stores.archive.get(after.id)).unwrap(), None);
    now(stores.archive.put(std::slice::from_ref(&after))).unwrap();
    assert_eq!(now(stores.archive.get(after.id)).unwrap(), Some(after));
}

const DAY_MS: u64 = 86_400_000;

fn trim_all(journal: &impl Journal, base: Position) {
    for shard in ShardId::all() {
        now(journal.trim(shard, base)).unwrap();
    }
}

/// Waits until `text` is let go: a trim may do its work later.
fn until_gone(journal: &impl Journal, text: &str) {
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

fn list_all(archive: &impl Archive, limit: usize) -> Vec<Ended> {
    let mut listed: Vec<Ended> = Vec::new();
    loop {
        let after = listed.last().map(ArchiveKey::of);
        let page = now(archive.list(after, limit)).unwrap();
        if page.is_empty() {
            return listed;
        }
        assert!(page.len() <= limit);
        listed.extend(page);
    }
}

fn in_order(batch: &[Ended]) -> Vec<Ended> {
    let mut sorted = batch.to_vec();
    sorted.sort_by_key(ArchiveKey::of);
    sorted
}

/// One test for every promise, for one factory.
macro_rules! contract {
    ($factory:ty: $($promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                $crate::contract::$promise::<$factory>();
            }
        )*
    };
    ($factory:ty) => {
        contract! { $factory:
            appended_groups_are_replayed_in_order_also_after_a_crash
            an_empty_group_and_an_empty_journal_are_nothing
            a_group_of_many_records_is_replayed_whole_and_in_order
            a_replay_visits_only_the_shards_it_is_asked_for
            several_threads_replay_at_once
            the_high_water_covers_what_was_trimmed_too
            what_a_shard_needs_stays_until_every_shard_let_go_of_it
            a_record_is_never_found_before_the_position_read_before_it_was_appended
            a_replay_passes_on_what_the_visitor_refuses
            every_kind_of_event_is_replayed_as_it_was
            each_claim_is_under_a_greater_epoch_also_after_a_crash
            an_archived_message_is_found_by_its_id_as_it_was
            a_message_that_ended_before_its_id_says_it_began_is_found
            a_batch_repeated_wholly_or_in_part_changes_nothing
            a_list_has_every_message_once_in_archive_order_whatever_the_page
            what_one_read_delivered_is_found_together
            whole_days_are_dropped_and_nothing_else
        }
    };
}
pub(crate) use contract;
