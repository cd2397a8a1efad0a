//! Blocks of the archive: rows of one batch, one behind the other in archive order, with their texts
//! compressed together (see `docs/FORMAT.md`). Bytes only; where they are kept is not known here.
//!
//! ```text
//! block   = rows u32 | bytes of the contents u32 | a head for every row | the contents, LZ4
//! head    = ended_at u8 (ms in the slot) | end u8 | id 16 | where its content ends u32   little-endian
//! content = bytes of the username u32 | bytes of the text u32 | username | text | attributes, if any
//! ```

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::preamble::u32_at;
use crate::domain::id::MessageId;
use crate::domain::message::{Attributes, Content, End, Ended};
use crate::domain::time::UnixMs;
use crate::domain::username::Username;
use crate::store::archive::ArchiveKey;

/// A block with so many bytes of contents is full: longer ones compress better, shorter ones read
/// faster.
const CONTENTS_BYTES: usize = 8 * 1024;

/// Milliseconds of one slot: no block has rows of two.
const SLOT_MS: u64 = 256;

const HEADER_BYTES: usize = 8;
const HEAD_BYTES: usize = 22;
const END_AT: usize = 1;
const ID_AT: usize = 2;
const CONTENT_END_AT: usize = 18;
const CONTENT_HEADER_BYTES: usize = 8;

/// LZ4 makes nothing smaller than this.
const COMPRESSION_MAX: usize = 255;

/// What is in the archive does not read as this version writes it.
#[derive(Debug, thiserror::Error)]
#[error("{what} does not read; restore the archive from a copy")]
pub(super) struct Unreadable {
    /// As in `a block`.
    pub what: &'static str,
}

const BAD_BLOCK: Unreadable = Unreadable { what: "a block" };
const BAD_ROW: Unreadable = Unreadable { what: "a row" };

/// A part of time whose rows are kept together: days are whole numbers of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub u64);

impl Slot {
    /// The slot of a time.
    pub(super) fn of(at: UnixMs) -> Slot {
        Slot(at.0 / SLOT_MS)
    }

    /// The UTC day that the slot is part of.
    pub(super) fn day(self) -> u32 {
        self.at(0).day()
    }

    fn at(self, ms: u8) -> UnixMs {
        UnixMs(self.0.saturating_mul(SLOT_MS)).plus_ms(u64::from(ms))
    }
}

/// Makes blocks, one at a time, in memory that it uses again.
#[derive(Default)]
pub(super) struct BlockWriter {
    heads: Vec<u8>,
    contents: Vec<u8>,
    packed: Vec<u8>,
    table: CompressTable,
}

impl BlockWriter {
    /// Whether the next row belongs into a block of its own.
    pub(super) fn is_full(&self) -> bool {
        self.contents.len() >= CONTENTS_BYTES
    }

    /// Adds a row, which is behind those before it and of their slot.
    pub(super) fn push(&mut self, ended: &Ended) {
        let (username, text) = (ended.username.as_str(), ended.content.text());
        let contents = &mut self.contents;
        contents.extend_from_slice(&(username.len() as u32).to_le_bytes());
        contents.extend_from_slice(&(text.len() as u32).to_le_bytes());
        contents.extend_from_slice(username.as_bytes());
        contents.extend_from_slice(text.as_bytes());
        if !ended.content.attributes().is_empty() {
            *contents = postcard::to_extend(ended.content.attributes(), std::mem::take(contents))
                .expect("a vector takes every byte and the format takes all attributes");
        }
        self.heads.push((ended.ended_at.0 % SLOT_MS) as u8);
        self.heads.push(match ended.end {
            End::Read => 0,
            End::Expired => 1,
        });
        self.heads.extend_from_slice(&ended.id.to_bytes());
        let content_end = self.contents.len() as u32;
        self.heads.extend_from_slice(&content_end.to_le_bytes());
    }

    /// Takes the block, and begins the next one.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let packed_max = get_maximum_output_size(self.contents.len());
        if self.packed.len() < packed_max {
            self.packed.resize(packed_max, 0);
        }
        let packed = compress_into_with_table(&self.contents, &mut self.packed, &mut self.table)
            .expect("the room is that of the worst case");
        let rows = (self.heads.len() / HEAD_BYTES) as u32;
        let contents_bytes = self.contents.len() as u32;
        let block = [
            &rows.to_le_bytes(),
            &contents_bytes.to_le_bytes(),
            self.heads.as_slice(),
            &self.packed[..packed],
        ]
        .concat();
        self.heads.clear();
        self.contents.clear();
        block
    }
}

/// A block that is read.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    slot: Slot,
    heads: &'a [[u8; HEAD_BYTES]],
    contents_bytes: usize,
    packed: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block of a slot in `bytes`.
    ///
    /// # Errors
    /// [`Unreadable`] when it is not whole or holds no row.
    pub(super) fn parse(slot: Slot, bytes: &'a [u8]) -> Result<Block<'a>, Unreadable> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(BAD_BLOCK)?;
        let heads_bytes = u32_at(header, 0) as usize * HEAD_BYTES;
        let (heads, packed) = rest.split_at_checked(heads_bytes).ok_or(BAD_BLOCK)?;
        let (heads, _) = heads.as_chunks::<HEAD_BYTES>();
        let contents_bytes = u32_at(header, 4) as usize;
        if heads.is_empty() || contents_bytes > packed.len().saturating_mul(COMPRESSION_MAX) {
            return Err(BAD_BLOCK);
        }
        Ok(Block {
            slot,
            heads,
            contents_bytes,
            packed,
        })
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The place of a row in the order of the archive.
    pub(super) fn key(&self, row: usize) -> ArchiveKey {
        let head = &self.heads[row];
        let mut id = [0; 16];
        id.copy_from_slice(&head[ID_AT..CONTENT_END_AT]);
        let id = MessageId::from(id);
        ArchiveKey {
            ended_at: self.slot.at(head[0]),
            shard: id.route().shard(),
            id,
        }
    }

    /// The row of a message.
    pub(super) fn find(&self, id: MessageId) -> Option<usize> {
        let id = id.to_bytes();
        self.heads
            .iter()
            .position(|head| head[ID_AT..CONTENT_END_AT] == id)
    }

    /// The contents of all rows.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn unpack(&self) -> Result<Vec<u8>, Unreadable> {
        lz4_flex::block::decompress(self.packed, self.contents_bytes).map_err(|_| BAD_BLOCK)
    }

    /// The message in a row, out of the unpacked contents.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn row(&self, row: usize, contents: &[u8]) -> Result<Ended, Unreadable> {
        let key = self.key(row);
        let content_end = |row: usize| u32_at(&self.heads[row], CONTENT_END_AT) as usize;
        let start = row.checked_sub(1).map_or(0, content_end);
        let content = contents.get(start..content_end(row)).ok_or(BAD_ROW)?;
        let (username, content) = read_content(content).ok_or(BAD_ROW)?;
        Ok(Ended {
            id: key.id,
            username,
            content,
            ended_at: key.ended_at,
            end: match self.heads[row][END_AT] {
                0 => End::Read,
                1 => End::Expired,
                _ => return Err(BAD_ROW),
            },
        })
    }
}

fn read_content(bytes: &[u8]) -> Option<(Username, Content)> {
    let (header, rest) = bytes.split_first_chunk::<CONTENT_HEADER_BYTES>()?;
    let (username, rest) = rest.split_at_checked(u32_at(header, 0) as usize)?;
    let (text, attributes) = rest.split_at_checked(u32_at(header, 4) as usize)?;
    let attributes = match attributes {
        [] => Attributes::default(),
        _ => postcard::from_bytes(attributes).ok()?,
    };
    let username = Username::from_stored(str::from_utf8(username).ok()?);
    Some((
        username,
        Content::new(str::from_utf8(text).ok()?, attributes),
    ))
}
