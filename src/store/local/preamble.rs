//! The first 32 bytes of every file of ours, fixed for all versions: so that any version can tell a
//! newer file from a damaged one, and say which release reads it.
//!
//! ```text
//! magic 8 | format u32 | release that can read it, 16 bytes, zero-padded | crc32 u32     little-endian
//! ```

use std::path::Path;

use crate::store::StoreError;

/// Length of a preamble.
pub(super) const PREAMBLE_BYTES: usize = 32;

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// The first release that reads [`FORMAT`].
const READABLE_SINCE: &str = "0.1.0";

const FORMAT_AT: usize = 8;
const RELEASE_AT: usize = 12;
const CRC_AT: usize = 28;

/// Writes the preamble at the start of `bytes`.
pub(super) fn put(bytes: &mut [u8], magic: &[u8; 8]) {
    bytes[..FORMAT_AT].copy_from_slice(magic);
    bytes[FORMAT_AT..RELEASE_AT].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[RELEASE_AT..RELEASE_AT + READABLE_SINCE.len()].copy_from_slice(READABLE_SINCE.as_bytes());
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..PREAMBLE_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Whether `bytes` begin with a preamble of this version or an older one.
///
/// # Errors
/// [`StoreError::Newer`] when `file` was written by a newer version.
pub(super) fn is_ours(bytes: &[u8], magic: &[u8; 8], file: &Path) -> Result<bool, StoreError> {
    let Some(preamble) = bytes.first_chunk::<PREAMBLE_BYTES>() else {
        return Ok(false);
    };
    let crc = crc32fast::hash(&preamble[..CRC_AT]);
    if &preamble[..FORMAT_AT] != magic || crc != u32_at(preamble, CRC_AT) {
        return Ok(false);
    }
    let found = u32_at(preamble, FORMAT_AT);
    if found <= FORMAT {
        return Ok(true);
    }
    let release = String::from_utf8_lossy(&preamble[RELEASE_AT..CRC_AT]);
    Err(StoreError::Newer {
        file: file.to_path_buf(),
        found,
        supported: FORMAT,
        needs: release.trim_end_matches('\0').to_owned(),
    })
}

/// The number at `offset`, which the caller knows to be inside.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(number)
}

/// The number at `offset`, which the caller knows to be inside.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(number)
}

/// The number at `offset`, which the caller knows to be inside.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}
