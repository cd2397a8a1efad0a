//! The journal in segment files: appending, and opening what was appended.
//!
//! One frame holds one group, is written by one call and synced before [`Journal::append`] returns.
//! The rules are in ADR-0002, the bytes in `docs/FORMAT.md`; spares and trims are in `allocate` and
//! `upkeep`, reading is in `frames`, `recover` and `replay`.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::allocate::Allocator;
use super::disk::{Disk, DiskFile, RealDisk};
use super::recover::{self, Recovered};
use super::register::Register;
use super::segment::{self, END_BYTES, FRAME_BYTES, HEADER_BYTES, Header, SegmentId, Used};
use super::upkeep::{InUse, Upkeep};
use super::{LocalOptions, create_directory, io_error, locked};
use crate::domain::username::ShardId;
use crate::store::StoreError;
use crate::store::group::{Group, HighWater};
use crate::store::journal::{Appended, Journal, Position, Visit};

const BASE_MAGIC: &[u8; 8] = b"MAYFLYJB";

/// The base of a journal whose first segment is not made yet.
const UNBORN: u64 = 0;

/// Capacity that the write buffer keeps after a larger group, in bytes.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// Longest group, in bytes.
const GROUP_BYTES_MAX: usize = 1 << 30;

/// The journal of one data directory.
pub struct LocalJournal {
    pub(super) directory: PathBuf,
    pub(super) journal: u64,
    pub(super) upkeep: Arc<Upkeep>,
    pub(super) writer: Mutex<Writer>,
    pub(super) replay_total: AtomicU64,
    pub(super) replay_done: AtomicU64,
    torn_tails: u64,
    thread: Option<JoinHandle<()>>,
}

/// Where the next group goes.
pub(super) struct Writer {
    file: Box<dyn DiskFile>,
    pub(super) number: u64,
    size: u64,
    /// Where the next frame begins; 0 while the header of the segment is not written.
    pub(super) offset: u64,
    next_group: u64,
    pub(super) high_water: HighWater,
    buffer: Vec<u8>,
    failed: bool,
}

impl LocalJournal {
    /// Opens or makes the journal in `directory`, and checks all of it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and [`StoreError::Newer`], with nothing changed; [`StoreError::Io`].
    pub fn open(directory: &Path, options: &LocalOptions) -> Result<LocalJournal, StoreError> {
        LocalJournal::open_on(Arc::new(RealDisk), directory, options)
    }

    /// The same on any [`Disk`].
    ///
    /// # Errors
    /// As [`LocalJournal::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        directory: &Path,
        options: &LocalOptions,
    ) -> Result<LocalJournal, StoreError> {
        create_directory(directory)?;
        let path = directory.join("base");
        let base = match Register::open(disk.as_ref(), &path, BASE_MAGIC)? {
            Some(base) if base.number() != UNBORN => base,
            base => return Self::make(disk, directory, options, base),
        };
        let journal = base.constant();
        let found = recover::look(directory, journal, base.number(), options.segment_bytes)?;
        found.clean(disk.as_ref(), directory)?;
        let Some(last) = found.used.last() else {
            unreachable!("recovery finds a segment in use or fails");
        };
        let path = segment::path(directory, last.number);
        let writer = Writer {
            file: disk.open(&path).map_err(io_error("cannot open", &path))?,
            number: last.number,
            size: last.size,
            offset: last.end,
            next_group: found.next_group,
            high_water: found.high_water,
            buffer: Vec::new(),
            failed: false,
        };
        let allocator = allocator(disk, directory, options, journal, &found)?;
        let in_use = found.used.iter().map(|segment| InUse {
            number: segment.number,
            size: segment.size,
            first_group: segment.first_group,
            end: segment.end,
        });
        let upkeep = Upkeep::new(allocator, in_use.collect(), base);
        Self::start(directory, journal, upkeep, writer, found.torn_tails)
    }

    /// How many torn tails were cut when this journal was opened.
    pub fn torn_tails(&self) -> u64 {
        self.torn_tails
    }

    /// Bytes that the replays begun so far have to read.
    pub fn replay_bytes_total(&self) -> u64 {
        self.replay_total.load(Ordering::Relaxed)
    }

    /// Bytes that the replays begun so far have read.
    pub fn replay_bytes_done(&self) -> u64 {
        self.replay_done.load(Ordering::Relaxed)
    }

    /// Makes a new journal. Its base stays [`UNBORN`] until the first segment is durable: until then
    /// nothing can have been appended, and it is made anew.
    fn make(
        disk: Arc<dyn Disk>,
        directory: &Path,
        options: &LocalOptions,
        unborn: Option<Register>,
    ) -> Result<LocalJournal, StoreError> {
        let path = directory.join("base");
        let mut base = match unborn {
            Some(base) => {
                recover::remove_all(disk.as_ref(), directory)?;
                base
            }
            None => {
                recover::refuse_segments(directory, &path)?;
                let journal = rand::random();
                Register::create(disk.as_ref(), &path, BASE_MAGIC, UNBORN, journal)?
            }
        };
        let (journal, found) = (base.constant(), Recovered::default());
        let allocator = allocator(disk, directory, options, journal, &found)?;
        let first = allocator.take(0)?;
        let mut writer = Writer {
            file: first.file,
            number: first.number,
            size: first.size,
            offset: 0,
            next_group: 1,
            high_water: HighWater::default(),
            buffer: Vec::new(),
            failed: false,
        };
        writer
            .write(journal, None)
            .map_err(io_error("cannot write", directory))?;
        base.set(first.number)?;
        let in_use = VecDeque::from([InUse {
            number: first.number,
            size: first.size,
            first_group: 1,
            end: 0,
        }]);
        let upkeep = Upkeep::new(allocator, in_use, base);
        Self::start(directory, journal, upkeep, writer, 0)
    }

    fn start(
        directory: &Path,
        journal: u64,
        upkeep: Upkeep,
        writer: Writer,
        torn_tails: u64,
    ) -> Result<LocalJournal, StoreError> {
        let upkeep = Arc::new(upkeep);
        let thread = upkeep
            .start()
            .map_err(io_error("cannot start a thread for", directory))?;
        upkeep.notify();
        Ok(LocalJournal {
            directory: directory.to_path_buf(),
            journal,
            upkeep,
            writer: Mutex::new(writer),
            replay_total: AtomicU64::new(0),
            replay_done: AtomicU64::new(0),
            torn_tails,
            thread: Some(thread),
        })
    }

    fn append_now(&self, group: &Group) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        let mut writer = locked(&self.writer);
        if writer.failed {
            let error = io::Error::other("an earlier write failed; restart to recover");
            return Err(self.cannot_append(&writer, error));
        }
        if group.bytes().len() > GROUP_BYTES_MAX {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the group is over 1 GiB");
            return Err(self.cannot_append(&writer, error));
        }
        let bytes = (FRAME_BYTES + group.bytes().len() + END_BYTES) as u64;
        if writer.offset + bytes > writer.size {
            self.roll(&mut writer, bytes)?;
        }
        if let Err(error) = writer.write(self.journal, Some(group)) {
            writer.failed = true;
            return Err(self.cannot_append(&writer, error));
        }
        Ok(())
    }

    fn cannot_append(&self, writer: &Writer, error: io::Error) -> StoreError {
        let path = segment::path(&self.directory, writer.number);
        io_error("cannot append to", &path)(error)
    }

    /// Goes on to the next segment; nothing is written yet.
    fn roll(&self, writer: &mut Writer, frame_bytes: u64) -> Result<(), StoreError> {
        let next = self
            .upkeep
            .allocator
            .take(HEADER_BYTES as u64 + frame_bytes)?;
        let in_use = InUse {
            number: next.number,
            size: next.size,
            first_group: writer.next_group,
            end: 0,
        };
        self.upkeep.activate(writer.offset, in_use);
        writer.file = next.file;
        writer.number = next.number;
        writer.size = next.size;
        writer.offset = 0;
        Ok(())
    }
}

impl Journal for LocalJournal {
    async fn append(&self, group: &Group) -> Result<Appended, StoreError> {
        self.append_now(group)?;
        Ok(Appended::default())
    }

    fn position(&self, _shard: ShardId) -> Position {
        Position(self.upkeep.active())
    }

    fn place_bytes(&self) -> Option<u64> {
        Some(self.upkeep.allocator.segment_bytes)
    }

    fn has_room(&self) -> bool {
        self.upkeep.allocator.has_room()
    }

    async fn replay(
        &self,
        shards: &[ShardId],
        visit: &mut Visit<'_>,
    ) -> Result<HighWater, StoreError> {
        self.replay_now(shards, visit)
    }

    async fn trim(&self, shard: ShardId, base: Position) -> Result<(), StoreError> {
        self.upkeep.release(shard, base.0);
        Ok(())
    }
}

impl Drop for LocalJournal {
    fn drop(&mut self) {
        self.upkeep.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl Writer {
    /// Writes the segment's header if it is not there yet, and `group`, and syncs.
    fn write(&mut self, journal: u64, group: Option<&Group>) -> io::Result<()> {
        let id = SegmentId {
            journal,
            number: self.number,
        };
        self.buffer.clear();
        if self.offset == 0 {
            let used = Some(Used {
                first_group: self.next_group,
                high_water: self.high_water,
            });
            self.buffer.extend_from_slice(&Header { id, used }.bytes());
        }
        match group {
            Some(group) => segment::put_frame(&mut self.buffer, id, self.next_group, group),
            None => self.buffer.extend_from_slice(&[0; END_BYTES]),
        }
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.file.sync_data()?;
        self.offset += (self.buffer.len() - END_BYTES) as u64;
        if let Some(group) = group {
            self.next_group += 1;
            self.high_water = self.high_water.max(group.high_water());
        }
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }
}

fn allocator(
    disk: Arc<dyn Disk>,
    directory: &Path,
    options: &LocalOptions,
    journal: u64,
    found: &Recovered,
) -> Result<Allocator, StoreError> {
    let last = found.used.last().map_or(0, |segment| segment.number);
    Allocator::new(
        disk,
        directory.to_path_buf(),
        journal,
        options,
        &found.spares,
        last + 1 + found.spares.len() as u64,
    )
}
