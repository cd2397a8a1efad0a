//! A journal to damage, and what came of opening a damaged copy. Frames are found by `docs/FORMAT.md`,
//! not by the code under test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mayfly::domain::username::ShardId;
use mayfly::store::StoreError;
use mayfly::store::journal::Journal;
use mayfly::store::local::LocalOptions;
use mayfly::store::local::journal::LocalJournal;
use tempfile::TempDir;

use crate::support::*;

pub const SEGMENT_BYTES: u64 = 4_096;
pub const HEADER: usize = 128;
pub const FRAME: usize = 38;

/// A journal that was closed: segments of which the first went through recycling, and two spares.
pub struct Sample {
    pub files: BTreeMap<String, Vec<u8>>,
    pub texts: Vec<String>,
}

/// What came of opening a damaged copy.
#[derive(Debug)]
pub enum Outcome {
    Opened { texts: Vec<String>, torn: u64 },
    Refused { file: String, offset: u64 },
}

impl Sample {
    pub fn make() -> Sample {
        let directory = tempfile::tempdir().unwrap();
        let journal = open_ahead(directory.path(), 1).unwrap();
        // Long texts first, so that what they leave in recycled files looks like frames and reaches far.
        for number in 0..12 {
            append(&journal, &post(number, &"old".repeat(300)));
        }
        let position = journal.position(ANY);
        for shard in ShardId::all() {
            now(journal.trim(shard, position)).unwrap();
        }
        let first = || std::fs::exists(directory.path().join("segment-0000000000000001")).unwrap();
        until("the first segment is recycled", || !first());
        let mut number = 12;
        while journal.position(ANY).0 < position.0 + 2 {
            append(
                &journal,
                &post(number, &format!("text {number} {}", "x".repeat(300))),
            );
            number += 1;
        }
        for number in number..number + 3 {
            append(&journal, &post(number, &format!("last {number}")));
        }
        let texts = texts(&journal);
        drop(journal);
        let journal = open(directory.path()).unwrap();
        let active = journal.position(ANY).0;
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
    pub fn used(&self) -> Vec<String> {
        let used = self
            .files
            .iter()
            .filter(|(name, bytes)| name.starts_with("segment-") && bytes[32] == 1);
        used.map(|(name, _)| name.clone()).collect()
    }

    pub fn spares(&self) -> Vec<String> {
        let used = self.used();
        let names = self
            .files
            .keys()
            .filter(|name| name.starts_with("segment-"));
        names.filter(|name| !used.contains(name)).cloned().collect()
    }

    /// Opens a copy with one file changed, or gone.
    pub fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>) -> bool) -> Outcome {
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

    pub fn copy(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    /// Opens; and if it opens, opens again, appends and opens again, so that nothing hurt comes back.
    pub fn outcome(&self, directory: &Path) -> Outcome {
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
        drop(journal);
        let journal = open(directory).unwrap();
        assert_eq!(journal.torn_tails(), 0, "a cut is made once");
        append(&journal, &post(999, "goes on"));
        drop(journal);
        let journal = open(directory).unwrap();
        found.push("goes on".to_owned());
        assert_eq!(texts(&journal), found);
        found.pop();
        Outcome::Opened { texts: found, torn }
    }
}

impl Outcome {
    pub fn is_whole(&self, sample: &Sample) -> bool {
        matches!(self, Outcome::Opened { texts, .. } if *texts == sample.texts)
    }

    pub fn names(&self, file: &str, offset: usize) -> bool {
        matches!(self, Outcome::Refused { file: found, offset: at } if found == file && *at == offset as u64)
    }

    pub fn lost_and_counted(&self, sample: &Sample, lost: usize) -> bool {
        let kept = sample.texts.len() - lost;
        matches!(self, Outcome::Opened { texts, torn: 1 } if *texts == sample.texts[..kept])
    }
}

pub fn open(directory: &Path) -> Result<LocalJournal, StoreError> {
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

pub fn segment(number: u64) -> String {
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
pub fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = vec![HEADER];
    let mut at = HEADER;
    while at + FRAME <= bytes.len() && bytes[at..at + 4] == [0xf9, 0xff, 0xc1, 0xfd] {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        at += FRAME + length as usize;
        offsets.push(at);
    }
    offsets
}
