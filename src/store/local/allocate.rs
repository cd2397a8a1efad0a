//! The stock of spare segments: made ahead of need, or out of segments that were let go.
//!
//! Segment files are numbered without gaps, in use first and then spares, and no number is used twice.
//! A file gets its number only when it is whole: it is written under another name, made durable and
//! renamed. It does not decide which segments may go (`upkeep` does).

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::disk::{Disk, DiskFile};
use super::segment::{self, END_BYTES, HEADER_BYTES, Header, SegmentId};
use super::{LocalOptions, io_error, locked, write_zeros};
use crate::store::StoreError;

/// Spares that posts leave to reads and trims when no more can be made.
const RESERVED_SPARES: usize = 1;

/// Shortest segment.
const SEGMENT_BYTES_MIN: u64 = 4_096;

/// A segment file that nothing was appended to yet.
pub(super) struct Spare {
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The file, open for writing.
    pub file: Box<dyn DiskFile>,
}

/// Makes and keeps spares.
pub(super) struct Allocator {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    journal: u64,
    pub(super) segment_bytes: u64,
    spare_segments: usize,
    /// Held while a file is made, recycled or renamed: the number that the next file gets.
    next_number: Mutex<u64>,
    /// Held only to look.
    ready: Mutex<VecDeque<Spare>>,
    /// Whether the last attempt to make a spare failed.
    failing: AtomicBool,
    /// Whether a sync failed after which nobody knows what is durable: nothing is given out any more.
    broken: AtomicBool,
    has_room: AtomicBool,
}

impl Allocator {
    /// A stock of the whole spares that were found in `directory`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        journal: u64,
        options: &LocalOptions,
        spares: &[u64],
        next_number: u64,
    ) -> Result<Allocator, StoreError> {
        assert!(
            options.segment_bytes >= SEGMENT_BYTES_MIN,
            "a segment needs {SEGMENT_BYTES_MIN} bytes"
        );
        let mut ready = VecDeque::new();
        for number in spares {
            let path = segment::path(&directory, *number);
            let file = disk.open(&path).map_err(io_error("cannot open", &path))?;
            ready.push_back(Spare {
                number: *number,
                size: options.segment_bytes,
                file,
            });
        }
        Ok(Allocator {
            disk,
            directory,
            journal,
            segment_bytes: options.segment_bytes,
            spare_segments: options.spare_segments,
            next_number: Mutex::new(next_number),
            ready: Mutex::new(ready),
            failing: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            has_room: AtomicBool::new(true),
        })
    }

    /// Whether posts may be appended: not when only the reserve is left and no spare could be made.
    pub(super) fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Relaxed)
    }

    /// Whether spares are wanted that could not be made.
    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The next segment, with room for `bytes`: a spare, or a larger one made for it.
    ///
    /// # Errors
    /// [`StoreError::Io`] when there is none and it could not be made: nothing has changed.
    pub(super) fn take(&self, bytes: u64) -> Result<Spare, StoreError> {
        self.check_broken()?;
        if bytes > self.segment_bytes {
            return self.make_large(bytes);
        }
        self.make_up_to(1)?;
        let spare = self.pop();
        // The last one is not given out before it is known whether there is room for another: the
        // result is in `has_room`, and this append goes through either way.
        let _ = self.make_up_to(1);
        spare.ok_or_else(|| {
            let error = io::Error::other("its spares are taken; only one may append");
            io_error("cannot use", &self.directory)(error)
        })
    }

    /// Makes spares until there are as many as are to be ahead.
    ///
    /// # Errors
    /// [`StoreError::Io`] when one could not be made.
    pub(super) fn replenish(&self) -> Result<(), StoreError> {
        self.make_up_to(self.spare_segments)
    }

    /// Makes a spare of a segment that is let go, or removes its file when there are twice as many
    /// spares as are made ahead: then the segments of a steady load go round, and none is made.
    ///
    /// # Errors
    /// [`StoreError::Io`]: it can be repeated.
    pub(super) fn recycle(&self, number: u64, size: u64) -> Result<(), StoreError> {
        self.check_broken()?;
        let old = segment::path(&self.directory, number);
        let mut next_number = locked(&self.next_number);
        if size != self.segment_bytes || locked(&self.ready).len() >= 2 * self.spare_segments {
            return self
                .disk
                .remove(&old)
                .map_err(io_error("cannot remove", &old));
        }
        let new = segment::path(&self.directory, *next_number);
        let recycle = || {
            let file = self.disk.open(&old)?;
            file.write_all_at(&self.spare_start(*next_number), 0)?;
            self.or_break(file.sync_data())?;
            self.disk.rename(&old, &new)?;
            self.or_break(self.disk.sync_directory(&self.directory))?;
            Ok(file)
        };
        let spare = Spare {
            number: *next_number,
            size,
            file: recycle().map_err(io_error("cannot recycle", &old))?,
        };
        *next_number += 1;
        locked(&self.ready).push_back(spare);
        self.update_room();
        Ok(())
    }

    fn make_up_to(&self, spares: usize) -> Result<(), StoreError> {
        let mut made = self.check_broken();
        while made.is_ok() && locked(&self.ready).len() < spares {
            let mut next_number = locked(&self.next_number);
            if locked(&self.ready).len() >= spares {
                break;
            }
            made = self.make(*next_number, self.segment_bytes).map(|spare| {
                *next_number += 1;
                locked(&self.ready).push_back(spare);
            });
        }
        // Having enough says nothing of the disk unless all are there that should be.
        if made.is_err() || locked(&self.ready).len() >= self.spare_segments {
            self.failing.store(made.is_err(), Ordering::Relaxed);
        }
        self.update_room();
        made
    }

    fn pop(&self) -> Option<Spare> {
        let spare = locked(&self.ready).pop_front();
        self.update_room();
        spare
    }

    fn update_room(&self) {
        let spares = locked(&self.ready).len();
        let enough = !self.is_failing() || spares > RESERVED_SPARES;
        let has_room = enough && !self.broken.load(Ordering::Relaxed);
        self.has_room.store(has_room, Ordering::Relaxed);
    }

    fn check_broken(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Relaxed) {
            let error = io::Error::other("an earlier sync failed; restart to recover");
            return Err(io_error("cannot use", &self.directory)(error));
        }
        Ok(())
    }

    /// Passes on the result of a sync that cannot be repeated.
    fn or_break(&self, synced: io::Result<()>) -> io::Result<()> {
        if synced.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        synced
    }

    /// Makes a segment of its own size that takes the place and number of the next spare.
    fn make_large(&self, bytes: u64) -> Result<Spare, StoreError> {
        let mut next_number = locked(&self.next_number);
        let front = locked(&self.ready).front().map(|spare| spare.number);
        let large = self.make(front.unwrap_or(*next_number), bytes)?;
        if front.is_some() {
            self.pop();
        } else {
            *next_number += 1;
        }
        Ok(large)
    }

    /// Makes a spare file of zeros; durable when it returns. The caller holds `next_number`.
    fn make(&self, number: u64, size: u64) -> Result<Spare, StoreError> {
        let path = segment::path(&self.directory, number);
        let new = path.with_extension("new");
        let make = || {
            let file = self.disk.create(&new)?;
            write_zeros(file.as_ref(), 0, size)?;
            file.write_all_at(&self.spare_start(number), 0)?;
            file.sync_data()?;
            self.disk.rename(&new, &path)?;
            self.or_break(self.disk.sync_directory(&self.directory))?;
            Ok(file)
        };
        make()
            .map(|file| Spare { number, size, file })
            .map_err(|error| {
                // What was written of it takes space that others need; if it is not there, fine.
                let _ = self.disk.remove(&new);
                io_error("cannot make", &path)(error)
            })
    }

    /// The start of a spare: its header, and zeros where the first frame will be.
    fn spare_start(&self, number: u64) -> [u8; HEADER_BYTES + END_BYTES] {
        let id = SegmentId {
            journal: self.journal,
            number,
        };
        let mut start = [0; HEADER_BYTES + END_BYTES];
        start[..HEADER_BYTES].copy_from_slice(&Header { id, used: None }.bytes());
        start
    }
}
