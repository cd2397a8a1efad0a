//! The damage matrix: copies of a journal are cut, flipped and zeroed at every kind of place. Nothing
//! acknowledged may be lost in silence: the journal refuses and names file and offset, or, where only
//! its end is hurt, it warns and counts.
//!
//! Frames are found here by `docs/FORMAT.md`, not by the code under test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mayfly::domain::username::ShardId;
use mayfly::store::StoreError;
use mayfly::store::journal::Journal;
use mayfly::store::local::LocalOptions;
use mayfly::store::local::journal::LocalJournal;
use tempfile::TempDir;

use crate::support::*;

const SEGMENT_BYTES: u64 = 4_096;
const HEADER: usize = 128;
const FRAME: usize = 38;

/// A journal that was closed: segments of which the first went through recycling, and two spares.
struct Sample {
    files: BTreeMap<String, Vec<u8>>,
    texts: Vec<String>,
}

/// What came of opening a damaged copy.
#[derive(Debug)]
enum Outcome {
    Opened { texts: Vec<String>, torn: u64 },
    Refused { file: String, offset: u64 },
}

impl Sample {
    fn make() -> Sample {
        let directory = tempfile::tempdir().unwrap();
        let journal = open_ahead(directory.path(), 1).unwrap();
        // Long texts first, so that what they leave in recycled files looks like frames and reaches far.
        for number in 0..12 {
            now(journal.append(&post(number, &"old".repeat(300)))).unwrap();
        }
        let position = journal.position();
        for shard in ShardId::all() {
            now(journal.trim(shard, position)).unwrap();
        }
        let first = || std::fs::exists(directory.path().join("segment-0000000000000001")).unwrap();
        until("the first segment is recycled", || !first());
        let mut number = 12;
        while journal.position().0 < position.0 + 2 {
            now(journal.append(&post(number, &format!("text {number} {}", "x".repeat(300)))))
                .unwrap();
            number += 1;
        }
        for number in number..number + 3 {
            now(journal.append(&post(number, &format!("last {number}")))).unwrap();
        }
        let texts = texts(&journal);
        drop(journal);
        let journal = open(directory.path()).unwrap();
        let active = journal.position().0;
        let spare = |ahead| directory.path().join(segment(active + ahead));
        until("two spares are made", || {
            spare(1).exists() && spare(2).exists()
        });
        drop(journal);
        let files = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect();
        Sample { files, texts }
    }

    /// The names of the segments with groups, oldest first.
    fn used(&self) -> Vec<String> {
        let used = self
            .files
            .iter()
            .filter(|(name, bytes)| name.starts_with("segment-") && bytes[32] == 1);
        used.map(|(name, _)| name.clone()).collect()
    }

    fn spares(&self) -> Vec<String> {
        let used = self.used();
        let names = self
            .files
            .keys()
            .filter(|name| name.starts_with("segment-"));
        names.filter(|name| !used.contains(name)).cloned().collect()
    }

    /// Opens a copy with one file changed, or gone.
    fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>) -> bool) -> Outcome {
        let directory = self.copy();
        let mut bytes = self.files[file].clone();
        let path = directory.path().join(file);
        if change(&mut bytes) {
            std::fs::write(&path, bytes).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        self.outcome(directory.path())
    }

    fn copy(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    /// Opens; and if it opens, appends and opens again, so that nothing hurt comes back.
    fn outcome(&self, directory: &Path) -> Outcome {
        let before = contents(directory);
        let journal = match open(directory) {
            Ok(journal) => journal,
            Err(StoreError::Damaged { file, offset, .. }) => {
                assert_eq!(contents(directory), before, "a refusal changes nothing");
                let file = file.file_name().unwrap().to_string_lossy().into_owned();
                return Outcome::Refused { file, offset };
            }
            Err(error) => panic!("{error}"),
        };
        let (mut found, torn) = (texts(&journal), journal.torn_tails());
        now(journal.append(&post(999, "goes on"))).unwrap();
        drop(journal);
        let journal = open(directory).unwrap();
        assert_eq!(journal.torn_tails(), 0, "a cut is made once");
        found.push("goes on".to_owned());
        assert_eq!(texts(&journal), found);
        found.pop();
        Outcome::Opened { texts: found, torn }
    }
}

impl Outcome {
    fn is_whole(&self, sample: &Sample) -> bool {
        matches!(self, Outcome::Opened { texts, .. } if *texts == sample.texts)
    }

    fn names(&self, file: &str, offset: usize) -> bool {
        matches!(self, Outcome::Refused { file: found, offset: at } if found == file && *at == offset as u64)
    }

    fn lost_and_counted(&self, sample: &Sample, lost: usize) -> bool {
        let kept = sample.texts.len() - lost;
        matches!(self, Outcome::Opened { texts, torn: 1 } if *texts == sample.texts[..kept])
    }
}

fn open(directory: &Path) -> Result<LocalJournal, StoreError> {
    open_ahead(directory, 2)
}

fn open_ahead(directory: &Path, spare_segments: usize) -> Result<LocalJournal, StoreError> {
    let options = LocalOptions {
        segment_bytes: SEGMENT_BYTES,
        spare_segments,
        ..LocalOptions::default()
    };
    LocalJournal::open(directory, &options)
}

fn segment(number: u64) -> String {
    format!("segment-{number:016}")
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// Where the frames of a segment begin, and where the last one ends.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = vec![HEADER];
    let mut at = HEADER;
    while at + FRAME <= bytes.len() && bytes[at..at + 4] == [0xf9, 0xff, 0xc1, 0xfd] {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        at += FRAME + length as usize;
        offsets.push(at);
    }
    offsets
}

#[test]
fn the_sample_is_what_the_matrix_needs() {
    let sample = Sample::make();
    assert!(sample.used().len() >= 3 && sample.spares().len() == 2);
    let last = &sample.files[sample.used().last().unwrap()];
    let ends = frames(last);
    assert!(ends.len() > 3, "several groups are in the last segment");
    let stale = last[*ends.last().unwrap()..]
        .windows(4)
        .any(|w| w == [0xf9, 0xff, 0xc1, 0xfd]);
    assert!(
        stale,
        "the last segment was recycled and holds stale frames"
    );
    let whole = sample.outcome(sample.copy().path());
    assert!(whole.is_whole(&sample) && matches!(whole, Outcome::Opened { torn: 0, .. }));
}

#[test]
fn a_last_segment_cut_at_any_byte_keeps_every_group_before_the_cut_and_warns() {
    let sample = Sample::make();
    let last = sample.used().pop().unwrap();
    let ends = frames(&sample.files[&last]);
    let end = *ends.last().unwrap();
    for cut in HEADER..end + FRAME + 1 {
        let lost = ends.iter().filter(|end| **end > cut).count();
        let outcome = sample.with(&last, |bytes| {
            bytes.truncate(cut);
            true
        });
        if cut < end + FRAME {
            assert!(
                outcome.lost_and_counted(&sample, lost),
                "cut at {cut}: {outcome:?}"
            );
        } else {
            assert!(outcome.is_whole(&sample), "cut at {cut}: {outcome:?}");
        }
    }
}

#[test]
fn one_flipped_bit_anywhere_is_refused_or_harmless_or_hurts_the_last_group_with_a_warning() {
    let sample = Sample::make();
    let used = sample.used();
    for (place, file) in used.iter().enumerate() {
        let is_last = place + 1 == used.len();
        let ends = frames(&sample.files[file]);
        let end = *ends.last().unwrap();
        for at in 0..end + FRAME + 20 {
            let payload = ends.iter().all(|start| at < *start || at >= *start + FRAME);
            if payload && at >= HEADER && at % 16 != 5 {
                continue;
            }
            let outcome = sample.with(file, |bytes| {
                bytes[at] ^= 1 << (at % 8);
                true
            });
            let frame = ends
                .iter()
                .rev()
                .find(|start| **start <= at)
                .copied()
                .unwrap_or(0);
            let right = if at >= end {
                outcome.is_whole(&sample)
            } else if is_last && at >= ends[ends.len() - 2] {
                outcome.lost_and_counted(&sample, 1)
            } else {
                outcome.names(file, frame)
            };
            assert!(right, "{file} at {at}, frames {ends:?}: {outcome:?}");
        }
    }
}

#[test]
fn zeros_over_a_block_are_refused_or_harmless_or_hurt_only_groups_at_the_end() {
    let sample = Sample::make();
    let used = sample.used();
    for (place, file) in used.iter().enumerate() {
        let is_last = place + 1 == used.len();
        let ends = frames(&sample.files[file]);
        let (groups, end) = (ends.len() - 1, *ends.last().unwrap());
        for at in (0..end).step_by(29) {
            for length in [1, 40, 512, SEGMENT_BYTES as usize] {
                let until = (at + length).min(SEGMENT_BYTES as usize);
                let in_use = &sample.files[file][at..until];
                let Some(zeros) = in_use.iter().position(|byte| *byte != 0) else {
                    continue;
                };
                let at = at + zeros;
                let outcome = sample.with(file, |bytes| {
                    bytes[at..until].fill(0);
                    true
                });
                let hurt = ends.iter().rposition(|start| *start <= at);
                let right = match hurt {
                    None if is_last && until >= end => outcome.lost_and_counted(&sample, groups),
                    None => outcome.names(file, 0),
                    Some(group) if is_last && until > ends[groups - 1] => {
                        let kept = sample.texts.len() - (groups - group);
                        matches!(&outcome, Outcome::Opened { texts, torn }
                            if *texts == sample.texts[..kept] && (*torn == 1 || at == ends[group]))
                    }
                    Some(group) => outcome.names(file, ends[group]),
                };
                let right = right || at >= end && outcome.is_whole(&sample);
                assert!(right, "{file} {at}..{until}, frames {ends:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn a_missing_segment_or_base_is_refused_by_name() {
    let sample = Sample::make();
    let mut needed = sample.used();
    needed.push(sample.spares()[0].clone());
    needed.push("base".to_owned());
    for file in needed {
        let outcome = sample.with(&file, |_| false);
        assert!(outcome.names(&file, 0), "{file}: {outcome:?}");
    }
    let spare = sample.spares().pop().unwrap();
    assert!(sample.with(&spare, |_| false).is_whole(&sample));
}

#[test]
fn damage_in_a_spare_or_in_one_half_of_the_base_loses_nothing() {
    let sample = Sample::make();
    for file in sample.spares() {
        for at in (0..HEADER + 60).chain([SEGMENT_BYTES as usize - 1]) {
            let outcome = sample.with(&file, |bytes| {
                bytes[at] ^= 1;
                true
            });
            assert!(outcome.is_whole(&sample), "{file} at {at}: {outcome:?}");
        }
        for length in [0, 1, HEADER, 4_000] {
            let outcome = sample.with(&file, |bytes| {
                bytes.truncate(length);
                true
            });
            assert!(
                outcome.is_whole(&sample),
                "{file} cut to {length}: {outcome:?}"
            );
        }
    }
    for at in 0..1_024 {
        let outcome = sample.with("base", |bytes| {
            bytes[at] ^= 0x10;
            true
        });
        let named = matches!(outcome, Outcome::Refused { .. });
        assert!(
            named || outcome.is_whole(&sample),
            "base at {at}: {outcome:?}"
        );
    }
    let outcome = sample.with("base", |bytes| {
        bytes.fill(0);
        true
    });
    assert!(outcome.names("base", 0), "{outcome:?}");
}

#[test]
fn groups_of_another_segment_or_journal_never_count() {
    let sample = Sample::make();
    let other = Sample::make();
    let used = sample.used();
    let last = used.last().unwrap();
    let end = *frames(&sample.files[last]).last().unwrap();
    for foreign in [
        &sample.files[&used[0]],
        &other.files[last],
        &other.files[&used[0]],
    ] {
        let outcome = sample.with(last, |bytes| {
            let room = bytes.len() - end;
            bytes[end..].copy_from_slice(&foreign[HEADER..HEADER + room]);
            true
        });
        assert!(outcome.lost_and_counted(&sample, 0), "{outcome:?}");
    }
    let outcome = sample.with(last, |bytes| {
        *bytes = other.files[last].clone();
        true
    });
    assert!(matches!(outcome, Outcome::Opened { torn: 1, .. }) || outcome.names(last, 0));
    let outcome = sample.with(&used[0], |bytes| {
        *bytes = sample.files[&used[1]].clone();
        true
    });
    assert!(outcome.names(&used[0], 0), "{outcome:?}");
}

#[test]
fn a_text_that_looks_like_a_frame_is_only_a_text() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path()).unwrap();
    now(journal.append(&post(1, "first"))).unwrap();
    now(journal.append(&post(2, &"\u{f9}\u{ff}\u{c1}\u{fd}".repeat(40)))).unwrap();
    drop(journal);
    let path = directory.path().join(segment(1));
    let mut bytes = std::fs::read(&path).unwrap();
    let second = frames(&bytes)[1];
    bytes[second + 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let journal = open(directory.path()).unwrap();
    assert_eq!(
        (texts(&journal), journal.torn_tails()),
        (vec!["first".to_owned()], 1)
    );
}

#[test]
fn a_file_of_a_newer_format_is_refused_with_the_release_that_reads_it() {
    let sample = Sample::make();
    for file in [
        "base",
        &sample.used()[0],
        sample.used().last().unwrap(),
        &sample.spares()[0],
    ] {
        let directory = sample.copy();
        let mut bytes = sample.files[file].clone();
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        bytes[12..28].copy_from_slice(b"7.1.0\0\0\0\0\0\0\0\0\0\0\0");
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(directory.path().join(file), bytes).unwrap();
        let error = open(directory.path()).err().unwrap();
        let StoreError::Newer {
            found: 2, needs, ..
        } = &error
        else {
            panic!("{file}: {error}");
        };
        assert_eq!(needs, "7.1.0");
    }
}
