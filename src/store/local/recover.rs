//! Opening a journal's directory: what is whole, what is torn, what is damaged.
//!
//! Everything is looked at before anything is changed. The rules (ADR-0002): groups are numbered
//! without gaps; a place that holds no whole group, with a whole later group behind it, is damage, and
//! the journal does not open; with nothing whole behind it, it is the torn end of a write that was
//! never acknowledged, and is cut.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::Disk;
use super::frames::{FrameReader, Next};
use super::segment::{self, END_BYTES, HEADER_BYTES, Header, SegmentId, Used};
use super::{io_error, write_zeros};
use crate::store::StoreError;
use crate::store::group::HighWater;

/// What a directory holds.
#[derive(Default)]
pub(super) struct Recovered {
    /// The segments in use, oldest first; the last one is written on.
    pub used: Vec<Checked>,
    /// Numbers of the whole spares, which follow the last segment in use.
    pub spares: Vec<u64>,
    /// The number of the next group.
    pub next_group: u64,
    /// The high water of everything ever appended.
    pub high_water: HighWater,
    /// Torn tails that are to be cut, and torn headers behind them.
    pub torn_tails: u64,
    /// Files that nobody needs, in the order in which they can go.
    rubbish: Vec<PathBuf>,
}

/// One segment file, as it was found.
pub(super) struct Checked {
    /// Its number, from its name.
    pub number: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Where its last whole frame ends.
    pub end: u64,
    path: PathBuf,
    /// `None` when it does not hold, or is another segment's.
    header: Option<Header>,
    /// The number of its first group.
    pub first_group: u64,
    next_group: u64,
    high_water: HighWater,
    /// Why there is no whole frame at `end`, if that is not the clean end.
    bad: Option<String>,
    /// Whether a file that is not in use has frames.
    hides_frames: bool,
}

/// Looks at every file of the journal `journal` in `directory`, from segment `base`.
///
/// # Errors
/// [`StoreError::Damaged`], [`StoreError::Newer`] or [`StoreError::Io`]; nothing is changed.
pub(super) fn look(
    directory: &Path,
    journal: u64,
    base: u64,
    segment_bytes: u64,
) -> Result<Recovered, StoreError> {
    let (mut numbers, mut rubbish) = list(directory)?;
    let needed = numbers.split_off(numbers.partition_point(|number| *number < base));
    rubbish.extend(numbers.iter().map(|old| segment::path(directory, *old)));
    if let Some(missing) = missing(&needed, base) {
        let file = segment::path(directory, missing);
        return Err(damaged(&file, 0, "the file is missing"));
    }
    let mut used = check_all(directory, journal, &needed)?;
    let Some(last) = used.iter().rposition(|segment| segment.used().is_some()) else {
        return Err(damaged(&used[0].path, 0, "its header does not hold"));
    };
    let after = used.split_off(last + 1);
    if let Some(spare) = after.iter().find(|spare| spare.hides_frames) {
        return Err(damaged(&spare.path, 0, "its header does not hold"));
    }
    check_order(&used, journal)?;
    let torn_headers = after.iter().filter(|spare| spare.header.is_none());
    let torn_headers = torn_headers
        .inspect(|spare| tracing::warn!(file = %spare.path.display(), "a segment without a header counts as never used"))
        .count();
    let whole = |spare: &&Checked| spare.header.is_some() && spare.size == segment_bytes;
    let spares: Vec<u64> = after.iter().take_while(whole).map(|s| s.number).collect();
    rubbish.extend(after.into_iter().skip(spares.len()).rev().map(|s| s.path));
    Ok(Recovered {
        spares,
        next_group: used[last].next_group,
        high_water: used
            .iter()
            .fold(HighWater::default(), |sum, s| sum.max(s.high_water)),
        torn_tails: torn_headers as u64 + u64::from(used[last].bad.is_some()),
        used,
        rubbish,
    })
}

/// Removes every segment of a journal that was never finished making.
///
/// # Errors
/// [`StoreError::Io`].
pub(super) fn remove_all(disk: &dyn Disk, directory: &Path) -> Result<(), StoreError> {
    let (numbers, mut paths) = list(directory)?;
    paths.extend(
        numbers
            .iter()
            .map(|number| segment::path(directory, *number)),
    );
    for path in paths {
        disk.remove(&path)
            .map_err(io_error("cannot remove", &path))?;
    }
    Ok(())
}

/// Checks that there are no segments in `directory`, where the file `base` is missing.
///
/// # Errors
/// [`StoreError::Damaged`] when there are; [`StoreError::Io`].
pub(super) fn refuse_segments(directory: &Path, base: &Path) -> Result<(), StoreError> {
    match list(directory)?.0.first() {
        Some(_) => Err(damaged(base, 0, "the file is missing")),
        None => Ok(()),
    }
}

impl Recovered {
    /// Cuts the torn tail and removes what nobody needs; durable when it returns. It can be repeated
    /// after a crash.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn clean(&self, disk: &dyn Disk, directory: &Path) -> Result<(), StoreError> {
        if let Some(last) = self.used.last()
            && let Some(why) = &last.bad
        {
            tracing::warn!(
                file = %last.path.display(),
                offset = last.end,
                why,
                "cut the torn end of the journal: a write that was never acknowledged"
            );
            let file = disk
                .open(&last.path)
                .map_err(io_error("cannot open", &last.path))?;
            // A file that was cut short gets its clean end back.
            let end = last.size.max(last.end + END_BYTES as u64);
            write_zeros(file.as_ref(), last.end, end)
                .map_err(io_error("cannot cut the torn end of", &last.path))?;
        }
        for path in &self.rubbish {
            disk.remove(path).map_err(io_error("cannot remove", path))?;
        }
        disk.sync_directory(directory)
            .map_err(io_error("cannot sync", directory))
    }
}

impl Checked {
    fn used(&self) -> Option<Used> {
        self.header.and_then(|header| header.used)
    }
}

/// The numbers of the segment files, in order, and files that were never finished.
fn list(directory: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), StoreError> {
    let (mut numbers, mut unfinished) = (Vec::new(), Vec::new());
    let entries = std::fs::read_dir(directory).map_err(io_error("cannot read", directory))?;
    for entry in entries {
        let path = entry.map_err(io_error("cannot read", directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|extension| extension == "new") {
            unfinished.push(path);
        } else if let Some(number) = segment::number_in(&name) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok((numbers, unfinished))
}

/// The first number from `base` that is not there although it, or a later one, must be.
fn missing(numbers: &[u64], base: u64) -> Option<u64> {
    if numbers.is_empty() {
        return Some(base);
    }
    let pairs = numbers.iter().zip(base..);
    pairs
        .filter(|(number, expected)| **number != *expected)
        .map(|(_, expected)| expected)
        .next()
}

/// Reads the segments in parallel.
fn check_all(directory: &Path, journal: u64, numbers: &[u64]) -> Result<Vec<Checked>, StoreError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let check_some = || -> Result<Vec<Checked>, StoreError> {
        let mut checked = Vec::new();
        while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let id = SegmentId {
                journal,
                number: *number,
            };
            checked.push(check(segment::path(directory, *number), id)?);
        }
        Ok(checked)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(numbers.len()))
            .map(|_| scope.spawn(check_some))
            .collect();
        workers.into_iter().map(|worker| worker.join()).collect()
    });
    let mut checked = Vec::with_capacity(numbers.len());
    for result in results {
        checked.extend(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    checked.sort_unstable_by_key(|segment| segment.number);
    Ok(checked)
}

fn check(path: PathBuf, id: SegmentId) -> Result<Checked, StoreError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    let size = File::open(&path)
        .and_then(|file| {
            let size = file.metadata()?.len();
            file.take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
            Ok(size)
        })
        .map_err(io_error("cannot read", &path))?;
    let header = Header::parse(&bytes, &path)?.filter(|header| header.id == id);
    let used = header.and_then(|header| header.used);
    let first_group = used.map_or(1, |used| used.first_group);
    let mut frames = FrameReader::new(&path, id, HEADER_BYTES as u64, first_group)?;
    let mut high_water = used.map_or_else(HighWater::default, |used| used.high_water);
    let (mut bad, mut hides_frames) = (None, false);
    if used.is_some() {
        bad = loop {
            match frames.next()? {
                Next::Frame(frame, _) => high_water = high_water.max(frame.high_water),
                Next::End => break None,
                Next::Bad(why) => break Some(why),
            }
        };
    } else {
        let places = if header.is_some() { 1 } else { size };
        hides_frames = frames.find_later(places)?.is_some();
    }
    Ok(Checked {
        number: id.number,
        size,
        end: frames.offset(),
        path,
        header,
        first_group,
        next_group: frames.next_group(),
        high_water,
        bad,
        hides_frames,
    })
}

/// Holds the segments in use to rule 2.
fn check_order(used: &[Checked], journal: u64) -> Result<(), StoreError> {
    for (segment, following) in used.iter().zip(used.iter().skip(1)) {
        let Some(header) = segment.used().and(following.used()) else {
            let broken = if segment.used().is_none() {
                segment
            } else {
                following
            };
            return Err(damaged(&broken.path, 0, "its header does not hold"));
        };
        if header.first_group != segment.next_group {
            let what = format!(
                "group {} is not here, and {} begins with group {}{}",
                segment.next_group,
                following.path.display(),
                header.first_group,
                segment
                    .bad
                    .as_ref()
                    .map_or(String::new(), |bad| format!(" ({bad})")),
            );
            return Err(damaged(&segment.path, segment.end, &what));
        }
    }
    let Some(last) = used.last() else {
        return Ok(());
    };
    let id = SegmentId {
        journal,
        number: last.number,
    };
    let mut frames = FrameReader::new(&last.path, id, last.end, last.next_group)?;
    if let Some(later) = frames.find_later(u64::MAX)? {
        let why = last.bad.as_deref().unwrap_or("no group begins here");
        let what = format!("{why}, but a later group stands whole at offset {later}");
        return Err(damaged(&last.path, last.end, &what));
    }
    Ok(())
}

fn damaged(file: &Path, offset: u64, what: &str) -> StoreError {
    StoreError::Damaged {
        file: file.to_path_buf(),
        offset,
        what: what.to_owned(),
    }
}
