//! The keys of the archive's rows, and its index (see `docs/FORMAT.md`).

use crate::domain::id::MessageId;
use crate::domain::message::Ended;
use crate::domain::time::UnixMs;
use crate::store::archive::ArchiveKey;
use crate::store::archive_row::{UnknownRow, read_value};

/// Length of a row's key: `ended_at` u64, shard u16, id 16, all big-endian.
pub(super) const ROW_KEY_BYTES: usize = 26;

/// The key of a row; keys sort as [`ArchiveKey`] does.
pub(super) fn row_key(key: ArchiveKey) -> [u8; ROW_KEY_BYTES] {
    let mut bytes = [0; ROW_KEY_BYTES];
    bytes[..8].copy_from_slice(&key.ended_at.0.to_be_bytes());
    bytes[8..10].copy_from_slice(&key.shard.0.to_be_bytes());
    bytes[10..].copy_from_slice(&key.id.to_bytes());
    bytes
}

/// The message in a row.
///
/// # Errors
/// [`UnknownRow`] when key or value are none of this version.
pub(super) fn read_row(key: &[u8], value: &[u8]) -> Result<Ended, UnknownRow> {
    const BAD_KEY: UnknownRow = UnknownRow {
        what: "the key of a row does not read",
    };
    let (ended_at, rest) = key.split_first_chunk::<8>().ok_or(BAD_KEY)?;
    let (_, id) = rest.split_first_chunk::<2>().ok_or(BAD_KEY)?;
    let id: [u8; 16] = id.try_into().map_err(|_| BAD_KEY)?;
    let ended_at = UnixMs(u64::from_be_bytes(*ended_at));
    read_value(MessageId::from(id), ended_at, value)
}

/// The value in the index: milliseconds from the id's creation to the end, which may be negative
/// where ids ran ahead of the clock; postcard's signed varint, mostly 3 bytes.
pub(super) fn index_value(ended: &Ended) -> Vec<u8> {
    let life_ms = ended.ended_at.0 as i64 - ended.id.created_at().0 as i64;
    postcard::to_extend(&life_ms, Vec::with_capacity(10))
        .expect("a vector takes every byte and the format takes every number")
}

/// The place of the message `id` whose index value is `value`.
///
/// # Errors
/// [`UnknownRow`].
pub(super) fn indexed_key(id: MessageId, value: &[u8]) -> Result<ArchiveKey, UnknownRow> {
    let life_ms: i64 = postcard::from_bytes(value).map_err(|_| UnknownRow {
        what: "an entry of the index does not read",
    })?;
    Ok(ArchiveKey {
        ended_at: UnixMs(id.created_at().0.saturating_add_signed(life_ms)),
        shard: id.route().shard(),
        id,
    })
}
