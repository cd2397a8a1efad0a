//! The contract, for the embedded stores.

use std::sync::Arc;

use mayfly::domain::message::End;
use mayfly::store::archive::Archive;
use mayfly::store::claims::Claims;
use mayfly::store::journal::Journal;
use mayfly::store::local::archive::LocalArchive;
use mayfly::store::local::claims::LocalClaims;
use mayfly::store::local::journal::LocalJournal;
use mayfly::store::local::{LocalOptions, LocalStores};
use tempfile::TempDir;

use crate::contract::archive::{in_order, list_all};
use crate::contract::{Factory, Opened, contract};
use crate::support::*;

const DAY_MS: u64 = 86_400_000;

contract!(Local);

/// Embedded stores with small segments in a directory of their own.
struct Local {
    directory: TempDir,
}

impl Default for Local {
    fn default() -> Local {
        Local {
            directory: tempfile::tempdir().unwrap(),
        }
    }
}

impl Factory for Local {
    type Claims = LocalClaims;
    type Journal = LocalJournal;
    type Archive = LocalArchive;

    fn open(&mut self) -> Opened<Local> {
        let options = LocalOptions {
            segment_bytes: 4_096,
            ..LocalOptions::default()
        };
        let stores = LocalStores::open(self.directory.path(), options).unwrap();
        Opened {
            claims: stores.claims,
            journal: Arc::into_inner(stores.journal).unwrap(),
            archive: Arc::into_inner(stores.archive).unwrap(),
        }
    }

    fn crash(&mut self, opened: Opened<Local>) -> Opened<Local> {
        drop(opened);
        self.open()
    }

    fn next_place(&self, opened: &Opened<Local>) {
        let before = opened.journal.position(ANY);
        while opened.journal.position(ANY) == before {
            append(&opened.journal, &post(0, "filler"));
        }
    }
}

#[test]
fn a_second_process_is_refused_and_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = LocalStores::open(directory.path(), LocalOptions::default()).unwrap();
    let refused = LocalStores::open(directory.path(), LocalOptions::default());
    let message = refused.err().unwrap().to_string();
    let holder = format!("is in use by process {}", std::process::id());
    assert!(message.contains(&holder), "{message}");
    drop(first);
    LocalStores::open(directory.path(), LocalOptions::default()).unwrap();
}

#[test]
fn a_directory_several_levels_deep_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b/c");
    let stores = LocalStores::open(&deep, LocalOptions::default()).unwrap();
    now(stores.claims.claim(&[])).unwrap();
    assert!(deep.join("journal").is_dir());
}

#[test]
fn a_replay_tells_how_far_it_is() {
    let mut factory = Local::default();
    let stores = factory.open();
    for number in 0..300 {
        append(&stores.journal, &post(number, "text"));
    }
    let stores = factory.crash(stores);
    assert_eq!(stores.journal.replay_bytes_total(), 0);
    let mut steps = Vec::new();
    let shards: Vec<_> = mayfly::domain::username::ShardId::all().collect();
    now(stores.journal.replay(&shards, &mut |_, _| {
        steps.push(stores.journal.replay_bytes_done());
        Ok(())
    }))
    .unwrap();
    assert!(steps.is_sorted() && steps[0] < steps[299]);
    assert_eq!(
        stores.journal.replay_bytes_done(),
        stores.journal.replay_bytes_total()
    );
}

#[test]
fn old_segments_are_used_again_and_files_stay_few() {
    let mut factory = Local::default();
    let stores = factory.open();
    for _ in 0..30 {
        factory.next_place(&stores);
        let position = stores.journal.position(ANY);
        for shard in mayfly::domain::username::ShardId::all() {
            now(stores.journal.trim(shard, position)).unwrap();
        }
    }
    let files = || {
        std::fs::read_dir(factory.directory.path().join("journal"))
            .unwrap()
            .count()
    };
    until(
        "only the active segment, two to four spares and the base are left",
        || (4..=6).contains(&files()),
    );
    let position = stores.journal.position(ANY);
    assert!(position.0 > 30);
    let stores = factory.crash(stores);
    assert_eq!(stores.journal.position(ANY), position);
    assert_eq!(stores.journal.torn_tails(), 0);
}

#[test]
fn a_batch_a_second_does_not_become_a_table_each() {
    let mut factory = Local::default();
    let stores = factory.open();
    let mut put = |batch: u64| {
        let batch: Vec<_> = (0..10)
            .map(|n| {
                let ms = batch * 1_000 + u64::from(n);
                ended(
                    &username(usize::from(n)),
                    ms,
                    n,
                    60_000,
                    mayfly::domain::message::End::Read,
                )
            })
            .collect();
        now(mayfly::store::archive::Archive::put(
            &stores.archive,
            &batch,
        ))
        .unwrap();
    };
    (0..200).for_each(&mut put);
    until("compaction has merged the tables", || {
        stores.archive.tables() < 2 * 20
    });
}

#[test]
fn the_segment_of_a_large_group_is_removed_and_not_used_again() {
    let mut factory = Local::default();
    let stores = factory.open();
    append(&stores.journal, &post(1, &"x".repeat(50_000)));
    factory.next_place(&stores);
    let position = stores.journal.position(ANY);
    for shard in mayfly::domain::username::ShardId::all() {
        now(stores.journal.trim(shard, position)).unwrap();
    }
    let directory = factory.directory.path().join("journal");
    until("the large segment is let go", || {
        !std::fs::exists(directory.join("segment-0000000000000002")).unwrap()
    });
    drop(stores);
    for entry in std::fs::read_dir(directory).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= 4_096);
    }
}

#[test]
fn whole_days_are_dropped_and_nothing_else() {
    let mut factory = Local::default();
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
    assert_eq!(
        list_all(&stores.archive, 10),
        in_order(std::slice::from_ref(&after))
    );
    now(stores
        .archive
        .drop_before(after.ended_at.plus_ms(100 * DAY_MS)))
    .unwrap();
    assert_eq!(now(stores.archive.get(after.id)).unwrap(), None);
    assert_eq!(list_all(&stores.archive, 10), []);
}

#[test]
fn a_day_that_was_dropped_can_be_filled_again() {
    let mut factory = Local::default();
    let stores = factory.open();
    let message = ended(&username(1), 0, 1, 0, End::Expired);
    let batch = std::slice::from_ref(&message);
    now(stores.archive.put(batch)).unwrap();
    let later = message.ended_at.plus_ms(100 * DAY_MS);
    now(stores.archive.drop_before(later)).unwrap();
    assert_eq!(now(stores.archive.get(message.id)).unwrap(), None);
    now(stores.archive.put(batch)).unwrap();
    let found = now(stores.archive.get(message.id)).unwrap();
    assert_eq!(found.as_ref(), Some(&message));
}
