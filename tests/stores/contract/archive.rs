//! What every archive promises.

use mayfly::domain::event::TakenRange;
use mayfly::domain::id::MessageId;
use mayfly::domain::message::{Attributes, Content, End, Ended};
use mayfly::domain::username::Username;
use mayfly::store::archive::{Archive, ArchiveKey};

use super::Factory;
use crate::support::*;

const DAY_MS: u64 = 86_400_000;

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

pub fn messages_of_one_moment_that_end_one_by_one_are_found_and_listed<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let messages: Vec<_> = (0..60)
        .map(|n| ended(&username(n), 0, n as u16, n as u64 * 977, End::Expired))
        .collect();
    for message in &messages {
        now(stores.archive.put(std::slice::from_ref(message))).unwrap();
    }
    let stores = factory.crash(stores);
    for message in &messages {
        assert_eq!(
            now(stores.archive.get(message.id)).unwrap().as_ref(),
            Some(message)
        );
    }
    assert_eq!(list_all(&stores.archive, 7), in_order(&messages));
}

pub fn a_page_and_a_read_are_the_same_again_after_batches_overlapped_and_were_repeated<
    F: Factory,
>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = username(1);
    let mut messages: Vec<_> = (0..20)
        .map(|n| ended(&name, 0, n, 100, End::Read))
        .collect();
    let others = (0..500).map(|n| ended(&username(n), n as u64, n as u16, 100, End::Expired));
    messages.extend(others);
    for part in messages.chunks(130) {
        now(stores.archive.put(part)).unwrap();
    }
    let range = TakenRange {
        first: messages[0].id,
        last: messages[19].id,
        count: 20,
    };
    let read_at = START.plus_ms(100);
    let seen = |archive: &F::Archive| {
        let after = ArchiveKey::of(&messages[300]);
        let page = now(archive.list(Some(after), 50)).unwrap();
        let together = archive.read_together(shard_of(&name), read_at, range, name.as_str());
        (page, now(together).unwrap())
    };
    let before = seen(&stores.archive);
    assert_eq!((before.0.len(), before.1.as_slice()), (50, &messages[..20]));
    for part in messages.chunks(71).rev() {
        now(stores.archive.put(part)).unwrap();
    }
    assert_eq!(seen(&stores.archive), before);
    let stores = factory.crash(stores);
    assert_eq!(seen(&stores.archive), before);
    assert_eq!(list_all(&stores.archive, 40), in_order(&messages));
}

pub fn what_one_read_delivered_is_found_together<F: Factory>() {
    let mut factory = F::default();
    let stores = factory.open();
    let name = username(1);
    let neighbour = (2..)
        .map(username)
        .find(|other| other.hash().route() == name.hash().route())
        .unwrap();
    let mine: Vec<_> = (0..10)
        .map(|n| ended(&name, 0, 10 + n, 100, End::Read))
        .collect();
    let mut batch = mine.clone();
    batch.push(Ended {
        id: MessageId::new(mine[4].id.stamp(), name.hash().route(), 1),
        ..ended(&neighbour, 0, 14, 100, End::Read)
    });
    batch.push(ended(&name, 0, 30, 100, End::Expired));
    batch.push(Ended {
        id: MessageId::new(mine[5].id.stamp(), name.hash().route(), 2),
        ..ended(&name, 0, 15, 101, End::Read)
    });
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

pub fn list_all(archive: &impl Archive, limit: usize) -> Vec<Ended> {
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

pub fn in_order(batch: &[Ended]) -> Vec<Ended> {
    let mut sorted = batch.to_vec();
    sorted.sort_by_key(ArchiveKey::of);
    sorted
}
