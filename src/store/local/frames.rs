//! Reading the frames of one segment file, in order and with bounded memory.
//!
//! It says what it finds; whether that is the end, a torn tail or damage is decided in `recover`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::io_error;
use super::segment::{FRAME_BYTES, FRAME_MAGIC, FrameHeader, SegmentId};
use crate::store::StoreError;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// The frames of one segment.
pub(super) struct FrameReader {
    file: BufReader<File>,
    path: PathBuf,
    id: SegmentId,
    size: u64,
    offset: u64,
    next_group: u64,
    group: Vec<u8>,
}

/// What stands at the reader's place.
pub(super) enum Next<'a> {
    /// A whole frame, and its group.
    Frame(FrameHeader, &'a [u8]),
    /// The zeros behind the last frame.
    End,
    /// No whole frame; in words.
    Bad(String),
}

impl FrameReader {
    /// A reader at `offset` of the segment in `file`, where the group `next_group` should begin.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn new(
        path: &Path,
        id: SegmentId,
        offset: u64,
        next_group: u64,
    ) -> Result<FrameReader, StoreError> {
        let open = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let (file, size) = open().map_err(io_error("cannot read", path))?;
        Ok(FrameReader {
            file: BufReader::with_capacity(READ_BYTES, file),
            path: path.to_path_buf(),
            id,
            size,
            offset,
            next_group,
            group: Vec::new(),
        })
    }

    /// Reads the frame at [`offset`](Self::offset) and moves behind it if it is whole.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn next(&mut self) -> Result<Next<'_>, StoreError> {
        let room = self.size.saturating_sub(self.offset);
        if room < FRAME_BYTES as u64 {
            return Ok(Next::Bad("the file is cut short".to_owned()));
        }
        let mut header = [0; FRAME_BYTES];
        self.read(|file| file.read_exact(&mut header))?;
        if header == [0; FRAME_BYTES] {
            return Ok(Next::End);
        }
        let Some(frame) = FrameHeader::parse(&header) else {
            return Ok(Next::Bad("no group begins here".to_owned()));
        };
        if frame.bytes() > room {
            return Ok(Next::Bad("a group is longer than the file".to_owned()));
        }
        let mut group = std::mem::take(&mut self.group);
        group.resize(frame.length as usize, 0);
        self.read(|file| file.read_exact(&mut group))?;
        self.group = group;
        if !frame.holds(self.id, &self.group) {
            return Ok(Next::Bad(format!(
                "the checksum of group {} does not hold",
                self.next_group
            )));
        }
        if frame.group != self.next_group {
            return Ok(Next::Bad(format!(
                "group {} stands where group {} belongs",
                frame.group, self.next_group
            )));
        }
        self.offset += frame.bytes();
        self.next_group += 1;
        Ok(Next::Frame(frame, &self.group))
    }

    /// Where the next frame begins, in bytes from the start of the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The number that the next group has.
    pub(super) fn next_group(&self) -> u64 {
        self.next_group
    }

    /// Looks for a whole frame with the next group's number or a later one that begins at one of the
    /// next `places` bytes; returns where.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn find_later(&mut self, places: u64) -> Result<Option<u64>, StoreError> {
        let until = self.size.min(self.offset.saturating_add(places));
        let mut window = vec![0; READ_BYTES.min(until.saturating_sub(self.offset) as usize)];
        let mut at = self.offset;
        while at < until {
            let length = window.len().min((until - at) as usize);
            self.read_at(&mut window[..length], at)?;
            for (place, byte) in window[..length].iter().enumerate() {
                if *byte == FRAME_MAGIC[0] && self.is_later_frame(at + place as u64)? {
                    return Ok(Some(at + place as u64));
                }
            }
            at += length as u64;
        }
        Ok(None)
    }

    fn is_later_frame(&mut self, place: u64) -> Result<bool, StoreError> {
        let room = self.size - place;
        if room < FRAME_BYTES as u64 {
            return Ok(false);
        }
        let mut header = [0; FRAME_BYTES];
        self.read_at(&mut header, place)?;
        let Some(frame) = FrameHeader::parse(&header) else {
            return Ok(false);
        };
        if frame.group < self.next_group || frame.bytes() > room {
            return Ok(false);
        }
        let mut group = std::mem::take(&mut self.group);
        group.resize(frame.length as usize, 0);
        self.read_at(&mut group, place + FRAME_BYTES as u64)?;
        self.group = group;
        Ok(frame.holds(self.id, &self.group))
    }

    fn read(
        &mut self,
        read: impl FnOnce(&mut BufReader<File>) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        read(&mut self.file).map_err(io_error("cannot read", &self.path))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError> {
        self.file
            .get_ref()
            .read_exact_at(bytes, offset)
            .map_err(io_error("cannot read", &self.path))
    }
}
