//! What the embedded journal does when writes, syncs and space fail, and when it dies at any step.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mayfly::domain::username::ShardId;
use mayfly::store::StoreError;
use mayfly::store::journal::{Journal, Position};
use mayfly::store::local::LocalOptions;
use mayfly::store::local::disk::{Disk, DiskFile, RealDisk};
use mayfly::store::local::journal::LocalJournal;

use crate::support::*;

const SEGMENT_BYTES: u64 = 4_096;

/// A disk that fails as it is told.
#[derive(Clone, Default)]
struct FaultyDisk(Arc<Mutex<Faults>>);

#[derive(Default)]
struct Faults {
    /// Steps that still work before everything fails, if it ever does.
    steps_left: Option<u64>,
    /// Whether the write at which everything fails leaves its first half behind.
    tears: bool,
    fail_next_sync: bool,
    fail_next_write: bool,
    fail_next_directory_sync: bool,
    /// Bytes that all files may have.
    space: Option<u64>,
    sizes: HashMap<PathBuf, u64>,
}

struct FaultyFile {
    disk: FaultyDisk,
    path: Mutex<PathBuf>,
    file: Box<dyn DiskFile>,
}

impl FaultyDisk {
    fn with<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn step(&self) -> io::Result<()> {
        self.with(|faults| match &mut faults.steps_left {
            Some(0) => Err(io::Error::other("the machine is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        })
    }

    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile {
            disk: self.clone(),
            path: Mutex::new(path.to_path_buf()),
            file,
        })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step()?;
        self.with(|faults| faults.sizes.insert(path.to_path_buf(), 0));
        Ok(self.file(path, RealDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step()?;
        Ok(self.file(path, RealDisk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        self.with(|faults| {
            let size = faults.sizes.remove(from).unwrap_or(0);
            faults.sizes.insert(to.to_path_buf(), size);
        });
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.with(|faults| faults.sizes.remove(path));
        RealDisk.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.step()?;
        match self.with(|faults| std::mem::take(&mut faults.fail_next_directory_sync)) {
            true => Err(io::Error::other("injected")),
            false => Ok(()),
        }
    }
}

impl DiskFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.disk.step() {
            if self.disk.with(|faults| std::mem::take(&mut faults.tears)) {
                self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            }
            return Err(error);
        }
        let path = self.path.lock().unwrap();
        self.disk.with(|faults| {
            if std::mem::take(&mut faults.fail_next_write) {
                return Err(io::Error::other("injected"));
            }
            let Some(space) = faults.space else {
                return Ok(());
            };
            let before = faults.sizes.get(&*path).copied().unwrap_or(u64::MAX);
            let after = before.max(offset + bytes.len() as u64);
            let used: u64 = faults.sizes.values().sum();
            if used + (after - before) > space {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if before != u64::MAX {
                faults.sizes.insert(path.clone(), after);
            }
            Ok(())
        })?;
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.step()?;
        match self
            .disk
            .with(|faults| std::mem::take(&mut faults.fail_next_sync))
        {
            true => Err(io::Error::other("injected")),
            false => Ok(()),
        }
    }
}

fn options() -> LocalOptions {
    LocalOptions {
        segment_bytes: SEGMENT_BYTES,
        ..LocalOptions::default()
    }
}

fn open(disk: &FaultyDisk, directory: &Path) -> Result<LocalJournal, StoreError> {
    LocalJournal::open_on(Arc::new(disk.clone()), directory, &options())
}

/// Waits until both spares are there, so that a fault hits what the test means.
fn settle(directory: &Path, journal: &LocalJournal) {
    let spare = |ahead| directory.join(format!("segment-{:016}", journal.position(ANY).0 + ahead));
    until("two spares are made", || {
        spare(1).exists() && spare(2).exists()
    });
    // The rename is before the directory's sync, after which the thread takes no more steps.
    until("the thread is done", || journal.has_room());
}

fn trim_all(journal: &LocalJournal, base: Position) {
    for shard in ShardId::all() {
        now(journal.trim(shard, base)).unwrap();
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_more_is_appended_and_a_restart_recovers() {
    for fail in [
        (|faults: &mut Faults| faults.fail_next_sync = true) as fn(&mut Faults),
        |faults| faults.fail_next_write = true,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let options = LocalOptions {
            spare_segments: 0,
            ..options()
        };
        let journal =
            LocalJournal::open_on(Arc::new(disk.clone()), directory.path(), &options).unwrap();
        append(&journal, &post(1, "kept"));
        disk.with(fail);
        let error = now(journal.append(&post(2, "unknown"))).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        let error = now(journal.append(&post(3, "refused"))).unwrap_err();
        assert!(error.to_string().contains("restart"), "{error}");
        drop(journal);
        let journal = open(&FaultyDisk::default(), directory.path()).unwrap();
        let found = texts(&journal);
        assert_eq!(found[0], "kept");
        assert!(found.len() == 1 || found[1..] == ["unknown"], "{found:?}");
        append(&journal, &post(4, "goes on"));
        assert_eq!(texts(&journal).last().unwrap(), "goes on");
    }
}

#[test]
fn after_a_failed_sync_of_the_directory_no_segment_is_given_out() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open(&disk, directory.path()).unwrap();
    settle(directory.path(), &journal);
    disk.with(|faults| faults.fail_next_directory_sync = true);
    let mut error = None;
    for number in 0..1_000 {
        if let Err(found) = now(journal.append(&post(number, "text"))) {
            error = Some(found);
            break;
        }
    }
    let error = error.expect("segments end").to_string();
    assert!(error.contains("restart"), "{error}");
    assert!(!journal.has_room());
}

#[test]
fn a_full_disk_refuses_posts_but_leaves_the_reserve_to_reads_and_trims() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    disk.with(|faults| faults.space = Some(5 * SEGMENT_BYTES));
    let journal = open(&disk, directory.path()).unwrap();
    let mut number = 0;
    let mut append = |text: &str| {
        number += 1;
        now(journal.append(&post(number, text)))
    };
    let mut posted = 0;
    while journal.has_room() {
        assert!(append("a post").is_ok());
        posted += 1;
        assert!(posted < 1_000, "the disk is full long before");
    }
    let reserve = (0..).take_while(|_| append("a read").is_ok()).count();
    assert!(
        reserve as u64 * 200 > SEGMENT_BYTES / 2,
        "only {reserve} reads fitted"
    );
    let error = append("no room").unwrap_err();
    let StoreError::Io { source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    trim_all(&journal, journal.position(ANY));
    until("there is room again", || journal.has_room());
    until("an append goes through", || append("after").is_ok());
    drop(journal);
    let journal = open(&disk, directory.path()).unwrap();
    let found = texts(&journal);
    assert_eq!(found.last().unwrap(), "after");
    assert!(!found.contains(&"no room".to_owned()));
}

#[test]
fn room_comes_back_by_itself_when_others_free_space() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    disk.with(|faults| faults.space = Some(2 * SEGMENT_BYTES));
    let journal = open(&disk, directory.path()).unwrap();
    until("no spare could be made", || !journal.has_room());
    disk.with(|faults| faults.space = None);
    until("there is room again", || journal.has_room());
}

#[test]
fn a_group_larger_than_a_segment_and_no_space_for_it_is_refused_and_the_journal_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open(&disk, directory.path()).unwrap();
    settle(directory.path(), &journal);
    disk.with(|faults| faults.space = Some(6 * SEGMENT_BYTES));
    let error = now(journal.append(&post(1, &"x".repeat(100_000)))).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    let unfinished = |entry: io::Result<std::fs::DirEntry>| {
        entry
            .unwrap()
            .path()
            .extension()
            .is_some_and(|extension| extension == "new")
    };
    assert!(!std::fs::read_dir(directory.path()).unwrap().any(unfinished));
    append(&journal, &post(2, "small"));
    disk.with(|faults| faults.space = None);
    append(&journal, &post(3, &"y".repeat(100_000)));
    append(&journal, &post(4, "behind"));
    drop(journal);
    let journal = open(&disk, directory.path()).unwrap();
    assert_eq!(texts(&journal), ["small", &"y".repeat(100_000), "behind"]);
}

#[test]
fn a_machine_that_dies_at_any_step_loses_nothing_that_was_acknowledged() {
    for tears in [false, true] {
        let mut steps = 0;
        while !lives_through(steps, tears) {
            steps += 1;
            assert!(steps < 5_000, "the story ends long before");
        }
    }
}

/// Appends and trims until the machine dies after so many steps, and checks what a restart finds;
/// `true` when it did not die.
fn lives_through(steps: u64, tears: bool) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = &directory.path().join("journal");
    let disk = FaultyDisk::default();
    disk.with(|faults| {
        faults.steps_left = Some(steps);
        faults.tears = tears;
    });
    let (mut acknowledged, mut needed_from) = (0, 0);
    let story = open(&disk, directory).and_then(|journal| {
        for number in 0..60 {
            if number % 20 == 10 {
                needed_from = number;
                trim_all(&journal, journal.position(ANY));
            }
            let text = match number {
                33 => format!("{number} {}", "x".repeat(9_000)),
                _ => format!("{number} {}", "x".repeat(400)),
            };
            let _none_lost = now(journal.append(&post(number, &text)))?;
            acknowledged = number + 1;
        }
        Ok(())
    });
    for _ in 0..2 {
        let journal = open(&FaultyDisk::default(), directory)
            .unwrap_or_else(|error| panic!("dead after {steps} steps, tears {tears}: {error}"));
        let found: Vec<u64> = texts(&journal)
            .iter()
            .map(|text| text.split(' ').next().unwrap().parse().unwrap())
            .collect();
        let first = found.first().copied().unwrap_or(0);
        let end = first + found.len() as u64;
        assert_eq!(
            found,
            (first..end).collect::<Vec<_>>(),
            "dead after {steps} steps"
        );
        assert!(
            acknowledged == needed_from || first <= needed_from,
            "{needed_from} was needed, {first} is the first, dead after {steps} steps"
        );
        assert!(
            found.is_empty() && acknowledged == 0 || end == acknowledged || end == acknowledged + 1,
            "{acknowledged} acknowledged, {end} found, dead after {steps} steps, tears {tears}"
        );
        if end == acknowledged {
            let text = format!("{end} {}", "x".repeat(400));
            append(&journal, &post(end, &text));
            acknowledged += 1;
        }
    }
    story.is_ok()
}
