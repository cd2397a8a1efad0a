//! The bytes of a segment: its header and its frames (see `docs/FORMAT.md`).
//!
//! Pure: files are read by `frames` and written by `journal` and `allocate`.
//!
//! ```text
//! segment = header 128 | frame* | zeros (38 at least) | anything
//! frame   = magic 4 | length u32 | group u64 | at u64 | stamp ms u64 | counter u16 | crc u32 | bytes
//! ```
//! The checksum of a frame also covers the journal's id and the segment's number, which is never used
//! twice: what an earlier life of a recycled file left behind does not validate. No text can hold the
//! magic of a frame, as none of its bytes occur in UTF-8.

use std::path::{Path, PathBuf};

use super::preamble::{self, PREAMBLE_BYTES, u16_at, u32_at, u64_at};
use crate::domain::id::IdStamp;
use crate::domain::time::UnixMs;
use crate::store::StoreError;
use crate::store::group::{Group, HighWater};

/// Length of a segment's header: within one sector, so that it is written wholly or not at all.
pub(super) const HEADER_BYTES: usize = 128;

/// Length of a frame without its group.
pub(super) const FRAME_BYTES: usize = 38;

/// Zeros behind the last frame: where a frame's header would be, so that a clean end is certain.
pub(super) const END_BYTES: usize = FRAME_BYTES;

/// How a frame begins.
pub(super) const FRAME_MAGIC: [u8; 4] = [0xf9, 0xff, 0xc1, 0xfd];

const SEGMENT_MAGIC: &[u8; 8] = b"MAYFLYJS";
const USED_AT: usize = PREAMBLE_BYTES;
const JOURNAL_AT: usize = 40;
const NUMBER_AT: usize = 48;
const FIRST_GROUP_AT: usize = 56;
const SEGMENT_HIGH_WATER_AT: usize = 64;
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;

const LENGTH_AT: usize = 4;
const GROUP_AT: usize = 8;
const FRAME_HIGH_WATER_AT: usize = 16;
const FRAME_CRC_AT: usize = FRAME_BYTES - 4;

/// What the checksum of every frame of a segment covers besides the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentId {
    /// Drawn once for a journal.
    pub journal: u64,
    /// From 1, each used once.
    pub number: u64,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Which segment of which journal.
    pub id: SegmentId,
    /// `None` for a spare.
    pub used: Option<Used>,
}

/// What the header of a segment in use tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    /// The number of the first group in it.
    pub first_group: u64,
    /// The high water of everything before it.
    pub high_water: HighWater,
}

impl Header {
    /// The header as bytes.
    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        preamble::put(&mut bytes, SEGMENT_MAGIC);
        bytes[JOURNAL_AT..NUMBER_AT].copy_from_slice(&self.id.journal.to_le_bytes());
        bytes[NUMBER_AT..FIRST_GROUP_AT].copy_from_slice(&self.id.number.to_le_bytes());
        if let Some(used) = &self.used {
            bytes[USED_AT] = 1;
            bytes[FIRST_GROUP_AT..SEGMENT_HIGH_WATER_AT]
                .copy_from_slice(&used.first_group.to_le_bytes());
            put_high_water(&mut bytes[SEGMENT_HIGH_WATER_AT..], used.high_water);
        }
        let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of `file`; `None` when it is not whole.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer version wrote it.
    pub(super) fn parse(bytes: &[u8], file: &Path) -> Result<Option<Header>, StoreError> {
        if !preamble::is_ours(bytes, SEGMENT_MAGIC, file)? || bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        if crc32fast::hash(&bytes[..HEADER_CRC_AT]) != u32_at(bytes, HEADER_CRC_AT) {
            return Ok(None);
        }
        let used = Used {
            first_group: u64_at(bytes, FIRST_GROUP_AT),
            high_water: high_water_at(bytes, SEGMENT_HIGH_WATER_AT),
        };
        Ok(Some(Header {
            id: SegmentId {
                journal: u64_at(bytes, JOURNAL_AT),
                number: u64_at(bytes, NUMBER_AT),
            },
            used: (bytes[USED_AT] == 1).then_some(used),
        }))
    }
}

/// What stands before a group in its frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHeader {
    /// Bytes of the group.
    pub length: u32,
    /// The number of the group, from 1, without gaps.
    pub group: u64,
    /// The newest time and id stamp in the group.
    pub high_water: HighWater,
    encoded: [u8; FRAME_BYTES],
}

impl FrameHeader {
    /// Reads a frame's header; `None` when these bytes are none.
    pub(super) fn parse(bytes: &[u8; FRAME_BYTES]) -> Option<FrameHeader> {
        bytes.starts_with(&FRAME_MAGIC).then_some(FrameHeader {
            length: u32_at(bytes, LENGTH_AT),
            group: u64_at(bytes, GROUP_AT),
            high_water: high_water_at(bytes, FRAME_HIGH_WATER_AT),
            encoded: *bytes,
        })
    }

    /// Length of the whole frame.
    pub(super) fn bytes(&self) -> u64 {
        FRAME_BYTES as u64 + u64::from(self.length)
    }

    /// Whether the checksum holds for this header and `group` in the segment `id`.
    pub(super) fn holds(&self, id: SegmentId, group: &[u8]) -> bool {
        u32_at(&self.encoded, FRAME_CRC_AT) == frame_crc(id, &self.encoded, group)
    }
}

/// Appends a frame and the end behind it to `buffer`.
pub(super) fn put_frame(buffer: &mut Vec<u8>, id: SegmentId, number: u64, group: &Group) {
    let mut header = [0; FRAME_BYTES];
    header[..LENGTH_AT].copy_from_slice(&FRAME_MAGIC);
    header[LENGTH_AT..GROUP_AT].copy_from_slice(&(group.bytes().len() as u32).to_le_bytes());
    header[GROUP_AT..FRAME_HIGH_WATER_AT].copy_from_slice(&number.to_le_bytes());
    put_high_water(&mut header[FRAME_HIGH_WATER_AT..], group.high_water());
    let crc = frame_crc(id, &header, group.bytes());
    header[FRAME_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(group.bytes());
    buffer.extend_from_slice(&[0; END_BYTES]);
}

/// The file of segment `number` in `directory`.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("segment-{number:016}"))
}

/// The number in a segment's file name; `None` for other files.
pub(super) fn number_in(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?.parse().ok()
}

fn frame_crc(id: SegmentId, header: &[u8; FRAME_BYTES], group: &[u8]) -> u32 {
    let mut covered = [0; 16 + FRAME_CRC_AT];
    covered[..8].copy_from_slice(&id.journal.to_le_bytes());
    covered[8..16].copy_from_slice(&id.number.to_le_bytes());
    covered[16..].copy_from_slice(&header[..FRAME_CRC_AT]);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&covered);
    hasher.update(group);
    hasher.finalize()
}

fn put_high_water(bytes: &mut [u8], high_water: HighWater) {
    bytes[..8].copy_from_slice(&high_water.at.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&high_water.stamp.ms.0.to_le_bytes());
    bytes[16..18].copy_from_slice(&high_water.stamp.counter.to_le_bytes());
}

fn high_water_at(bytes: &[u8], offset: usize) -> HighWater {
    HighWater {
        at: UnixMs(u64_at(bytes, offset)),
        stamp: IdStamp {
            ms: UnixMs(u64_at(bytes, offset + 8)),
            counter: u16_at(bytes, offset + 16),
        },
    }
}
