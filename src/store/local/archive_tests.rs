//! What the contract cannot see of the archive: crashes between its steps, damage, and what is put
//! how often.

use super::super::archive_block::Unreadable;
use super::*;
use crate::domain::id::IdStamp;
use crate::domain::message::{Attributes, Content};
use crate::domain::username::Username;

const START: UnixMs = UnixMs(1_700_000_000_000);

const CACHE_BYTES: u64 = 1 << 20;

/// The message `number`, posted and ended so many milliseconds after [`START`].
fn ended(number: u64, posted_ms: u64, ended_ms: u64) -> Ended {
    let username = Username::from_stored(&format!("user-{}", number % 100));
    let stamp = IdStamp {
        ms: START.plus_ms(posted_ms),
        counter: number as u16 % 4_096,
    };
    let attributes = match number % 3 {
        0 => vec![("city".to_owned(), "New York".to_owned())],
        _ => Vec::new(),
    };
    Ended {
        id: MessageId::new(
            stamp,
            username.hash().route(),
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ),
        content: Content::new(&format!("text {number}"), Attributes(attributes)),
        username,
        ended_at: START.plus_ms(ended_ms),
        end: if number.is_multiple_of(2) {
            End::Read
        } else {
            End::Expired
        },
    }
}

fn open(directory: &tempfile::TempDir) -> LocalArchive {
    LocalArchive::open(&directory.path().join("archive"), CACHE_BYTES).expect("an archive")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn list(archive: &LocalArchive) -> Vec<Ended> {
    archive.list_now(None, 10_000).expect("a list")
}

#[test]
fn a_batch_cut_off_between_its_blocks_and_its_index_is_repaired_by_a_repeat_with_others() {
    let directory = temporary();
    let batch: Vec<_> = (0..300).map(|n| ended(n, n, 60_000 + n)).collect();
    let archive = open(&directory);
    archive
        .put_blocks(&Batch::new(&batch[..200]))
        .expect("blocks");
    drop(archive);
    let archive = open(&directory);
    assert_eq!(archive.get_now(batch[7].id).expect("no index"), None);
    archive.put_now(&batch).expect("a batch");
    for message in &batch {
        assert_eq!(
            archive.get_now(message.id).expect("a row").as_ref(),
            Some(message)
        );
    }
    assert_eq!(list(&archive), batch);
}

#[test]
fn a_batch_that_is_repeated_as_it_was_writes_the_same_blocks_and_another_one_does_not() {
    let keys = |messages: &[Ended]| -> Vec<_> {
        let batch = Batch::new(messages);
        let mut index = Vec::new();
        let blocks = batch
            .days()
            .flat_map(|day| day.blocks(&mut index).collect::<Vec<_>>());
        blocks.collect()
    };
    let mut batch: Vec<_> = (0..300).map(|n| ended(n, n, 60_000 + n)).collect();
    let first = keys(&batch);
    batch.reverse();
    batch.push(batch[7].clone());
    assert!(keys(&batch) == first);
    batch.truncate(299);
    let other = keys(&batch);
    assert!(
        other
            .iter()
            .all(|(key, _)| first.iter().all(|(old, _)| old != key))
    );
}

#[test]
fn a_second_of_messages_with_one_life_becomes_few_blocks_and_entries() {
    let batch: Vec<_> = (0..20_000)
        .map(|n| ended(n, n / 20, 5_000 + n / 20))
        .collect();
    let (batch, mut index) = (Batch::new(&batch), Vec::new());
    let mut blocks = 0;
    for (_, block) in batch
        .days()
        .flat_map(|day| day.blocks(&mut index).collect::<Vec<_>>())
    {
        blocks += 1;
        assert!(
            block.len() < 16 * 1_024,
            "a look-up unpacks {} bytes",
            block.len()
        );
    }
    index.sort_unstable();
    let entries: usize = batch
        .entries(&index)
        .map(|(_, entries)| entries.count())
        .sum();
    assert!(blocks < 150, "{blocks} blocks");
    assert!(entries <= 1_000 / 16 + 1, "{entries} entries");
}

#[test]
fn rows_of_full_blocks_and_of_several_days_are_found_and_listed() {
    let directory = temporary();
    let archive = open(&directory);
    const DAY_MS: u64 = 86_400_000;
    let mut batch: Vec<_> = (0..3_000)
        .map(|n| ended(n, n % 50, n % 3 * DAY_MS + n % 7))
        .collect();
    archive.put_now(&batch).expect("a batch");
    for message in &batch {
        assert_eq!(
            archive.look_up(message.id).expect("a row").as_ref(),
            Some(message)
        );
    }
    batch.sort_by_key(ArchiveKey::of);
    assert_eq!(list(&archive), batch);
    for limit in [1, 999] {
        let page = archive
            .list_now(Some(ArchiveKey::of(&batch[1_234])), limit)
            .expect("a page");
        assert_eq!(page, batch[1_235..][..limit]);
    }
}

#[test]
fn a_message_that_ended_in_a_slot_before_its_id_is_found() {
    let directory = temporary();
    let archive = open(&directory);
    let message = ended(1, 10_000, 0);
    archive.put_now([&message]).expect("a batch");
    assert_eq!(archive.look_up(message.id).expect("a row"), Some(message));
}

#[test]
fn a_text_that_packs_as_well_as_any_comes_back_and_one_that_does_not_pack_too() {
    let directory = temporary();
    let archive = open(&directory);
    let mut random = 1_u64;
    let mut letter = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b' ' + (random >> 57) as u8 % 95)
    };
    let texts = [
        "x".repeat(1 << 20),
        (0..100_000).map(|_| letter()).collect(),
    ];
    let batch = texts.map(|text| Ended {
        content: Content::new(&text, Attributes::default()),
        ..ended(text.len() as u64, 0, 5_000)
    });
    archive.put_now(&batch).expect("a batch");
    for message in &batch {
        assert!(archive.look_up(message.id).expect("a row").as_ref() == Some(message));
    }
}

#[test]
fn a_row_that_was_looked_up_is_gone_with_its_day() {
    let directory = temporary();
    let archive = open(&directory);
    let message = ended(1, 0, 5_000);
    archive.put_now([&message]).expect("a batch");
    for _ in 0..2 {
        assert_eq!(
            archive.get_now(message.id).expect("a row").as_ref(),
            Some(&message)
        );
    }
    assert_eq!(archive.recent.get(message.id), Some(message.clone()));
    let day = message.ended_at.day();
    archive
        .days
        .drop_before(Kind::Blocks, day + 1)
        .expect("a drop");
    assert_eq!(archive.get_now(message.id).expect("no row"), None);
}

#[test]
fn rows_kept_for_look_ups_take_no_more_than_their_share_of_memory() {
    let recent = RecentRows::new(CACHE_BYTES);
    let rows: Vec<_> = (0..20_000).map(|n| ended(n, n, n)).collect();
    rows.iter().for_each(|row| recent.put(row));
    let kept = rows
        .iter()
        .filter(|row| recent.get(row.id).is_some())
        .count() as u64;
    // A row itself, two allocations and its place in the cache take more than this.
    assert!(kept * 256 <= CACHE_BYTES, "{kept} rows");
    assert!(kept * 512 > CACHE_BYTES, "{kept} rows");
}

#[test]
fn damage_in_a_block_or_an_entry_is_an_error_and_never_a_panic() {
    let batch: Vec<_> = (0..40).map(|n| ended(n, n, 60_000 + n)).collect();
    let (batch, mut index) = (Batch::new(&batch), Vec::new());
    let day = batch.days().next().expect("a day");
    let (key, block) = day.blocks(&mut index).next().expect("a block");
    let slot = BlockKey::parse(&key).expect("a key").slot;
    let read = |bytes: &[u8]| -> Result<usize, Unreadable> {
        let block = Block::parse(slot, bytes)?;
        let contents = block.unpack()?;
        (0..block.len()).try_for_each(|row| block.row(row, &contents).map(|_| ()))?;
        Ok(block.len())
    };
    let whole = read(&block).expect("a block");
    assert!(whole > 5);
    assert!(Block::parse(slot, &[0; 9]).is_err(), "no row");
    for length in 0..block.len() {
        assert!(read(&block[..length]).is_err(), "cut to {length}");
    }
    for at in 0..block.len() {
        for flipped in [0x01, 0x80, 0xff] {
            let mut damaged = block.clone();
            damaged[at] ^= flipped;
            // Tables have checksums; without, a flip may make another row, but nothing worse.
            let _ = read(&damaged);
        }
    }
    let (id, entry) = (
        MessageId::from([7; 16]),
        archive_index::entry_keys(MessageId::from([7; 16]))[0],
    );
    assert!(archive_index::blocks(id, &entry, &[0; 13]).is_err());
    assert!(archive_index::blocks(id, &entry[..9], &[0; 12]).is_err());
    assert!(BlockKey::parse(&key[..19]).is_err());
}

#[test]
fn a_damaged_block_fails_what_needs_it_and_nothing_else() {
    let directory = temporary();
    let archive = open(&directory);
    let (damaged, whole) = (ended(1, 0, 5_000), ended(2, 10_000, 15_000));
    archive.put_now([&damaged]).expect("a batch");
    archive.put_now([&whole]).expect("a batch");
    let batch = Batch::new([&damaged]);
    let day = batch.days().next().expect("a day");
    let (key, mut block) = day.blocks(&mut Vec::new()).next().expect("a block");
    block.pop();
    let keyspace = archive.days.get(Kind::Blocks, day.day).expect("a keyspace");
    keyspace.ingest([(key, block)]).expect("a damaged block");
    assert!(matches!(
        archive.get_now(damaged.id),
        Err(StoreError::Archive(_))
    ));
    assert!(matches!(
        archive.list_now(None, 10),
        Err(StoreError::Archive(_))
    ));
    assert_eq!(
        archive.get_now(whole.id).expect("a row"),
        Some(whole.clone())
    );
    let behind = archive.list_now(
        Some(ArchiveKey {
            ended_at: START.plus_ms(14_000),
            ..ArchiveKey::of(&whole)
        }),
        10,
    );
    assert_eq!(behind.expect("a page"), [whole]);
}

#[test]
fn an_archive_of_another_layout_is_refused_in_one_line() {
    let directory = temporary();
    let refused = |directory: &Path| {
        let error = LocalArchive::open(directory, CACHE_BYTES)
            .err()
            .expect("a refusal");
        error.to_string()
    };
    let rows_alone = directory.path().join("archive");
    std::fs::create_dir_all(rows_alone.join("keyspaces")).expect("a directory");
    assert!(refused(&rows_alone).contains("has layout 1, and this version reads only 2"));
    let newer = directory.path().join("newer");
    archive_layout::tests::note(&newer, 3);
    let line = refused(&newer);
    assert!(
        line.contains("has layout 3") && line.contains("newer") && !line.contains('\n'),
        "{line}"
    );
}

#[test]
fn an_archive_whose_making_was_cut_off_is_made_again() {
    let directory = temporary();
    let path = directory.path().join("archive");
    std::fs::create_dir_all(&path).expect("a directory");
    std::fs::write(path.join("layout.new"), [0; 9]).expect("a file");
    drop(open(&directory));
    assert_eq!(list(&open(&directory)), []);
}
