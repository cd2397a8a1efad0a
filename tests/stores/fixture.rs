//! Data that format 1 wrote once and that every later version must read: `fixture/journal-1` holds
//! three groups in two segments, and `docs/FORMAT.md` describes it.

use std::path::Path;

use mayfly::domain::event::{Event, Posted, Taken, TakenRange};
use mayfly::domain::id::IdStamp;
use mayfly::domain::key::{KeyClaim, KeyKind};
use mayfly::domain::message::Attributes;
use mayfly::domain::username::ShardId;
use mayfly::store::StoreError;
use mayfly::store::group::Group;
use mayfly::store::journal::Journal;
use mayfly::store::local::LocalOptions;
use mayfly::store::local::journal::LocalJournal;

use crate::support::*;

#[test]
fn a_journal_of_format_1_is_replayed_to_the_last_field() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/fixture/journal-1");
    for entry in std::fs::read_dir(&fixture).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    let journal = open(directory.path());
    assert_eq!(journal.torn_tails(), 0);
    let mut found = Group::default();
    let high_water = now(
        journal.replay(&ShardId::all().collect::<Vec<_>>(), &mut |_, record| {
            let event = record
                .event()
                .map_err(|error| StoreError::Archive(Box::new(error)))?;
            found.push(record.shard, record.at, &event);
            Ok(())
        }),
    )
    .unwrap();
    let mut expected = Group::default();
    groups().iter_mut().for_each(|group| expected.append(group));
    assert_eq!(found.bytes(), expected.bytes());
    let stamp = IdStamp {
        ms: START.plus_ms(7),
        counter: 5,
    };
    assert_eq!((high_water.at, high_water.stamp), (START.plus_ms(9), stamp));
}

#[test]
fn this_version_still_writes_format_1_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    for group in groups() {
        append(&journal, &group);
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/fixture/journal-1");
    for segment in ["segment-0000000000000001", "segment-0000000000000002"] {
        let mut written = std::fs::read(directory.path().join(segment)).unwrap();
        let kept = std::fs::read(fixture.join(segment)).unwrap();
        // The journal's id is drawn, and with it differ the checksums that cover it.
        assert_eq!(written[..40], kept[..40]);
        assert_eq!(written[48..124], kept[48..124]);
        for place in frame_checksums(&kept) {
            written[place..place + 4].copy_from_slice(&kept[place..place + 4]);
        }
        assert_eq!(written[128..], kept[128..]);
    }
}

fn open(directory: &Path) -> LocalJournal {
    let options = LocalOptions {
        segment_bytes: 4_096,
        ..LocalOptions::default()
    };
    LocalJournal::open(directory, &options).unwrap()
}

/// Where the checksums of the frames of a segment are.
fn frame_checksums(bytes: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 128;
    while bytes[at..at + 4] == [0xf9, 0xff, 0xc1, 0xfd] {
        places.push(at + 34);
        at += 38 + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
    }
    places
}

/// What is in the fixture: every event of format 1, with and without its options.
fn groups() -> [Group; 3] {
    let name = username(1);
    let shard = shard_of(&name);
    let key = KeyClaim {
        kind: KeyKind::Client,
        hash: *b"0123456789abcdef",
        body: 0x0102_0304_0506_0708,
    };
    let post = |ms, counter, text: &str, key| {
        let mut group = Group::default();
        let event = Event::Posted(Posted {
            username: name.as_str(),
            id: id(&name, ms, counter),
            expires_at: START.plus_ms(ms + 60_000),
            text,
            attributes: Attributes(vec![("city".to_owned(), "New York".to_owned())]),
            key,
        });
        group.push(shard, START.plus_ms(ms), &event);
        group
    };
    let mut ends = Group::default();
    let range = TakenRange {
        first: id(&name, 1, 1),
        last: id(&name, 7, 5),
        count: 2,
    };
    for (range, key) in [(Some(range), None), (None, Some(key))] {
        let taken = Taken {
            username: name.as_str(),
            range,
            key,
        };
        ends.push(shard, START.plus_ms(8), &Event::Taken(taken));
    }
    ends.push(ShardId(255), START.plus_ms(9), &Event::Advanced);
    ends.push(
        ShardId(0),
        START.plus_ms(9),
        &Event::Archived { through: START },
    );
    [
        post(1, 1, &"a long text ".repeat(250), Some(key)),
        post(7, 5, &"żółw".repeat(250), None),
        ends,
    ]
}
